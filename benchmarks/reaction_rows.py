"""
Rows whose reactions are measured: real agents with their guards, and in a large row stub members beside.

The API server is real, and so is everything that the coordinator talks to: each member has a certificate
of its own, published in its NodeCapacity, and speaks the product's wire. GPUs are one board's, driven by
a plant, so that agents and stubs see the same overload at the same moment. No operator runs: what it
would write is written here, so that only real agents are candidates.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.process_costs import cpu_s
from benchmarks.row_watches import RowWatch
from loadline_agent.domain.tls_identity import Identity
from loadline_api import names
from loadline_policies.power.polca import Level
from loadline_policies.power.safety.breakers import FOREVER, Curve
from testbed import charts, operator_writes
from testbed.cluster.bed import Bed
from testbed.cluster.errors import ApiError, BedError
from testbed.cluster.processes import Process
from testbed.doubles.stub_members import rating_of
from testbed.fakegpu.board import Board, boottime
from testbed.live_rows import members
from testbed.live_rows.member_rows import MemberRow
from testbed.live_rows.plants import Plant
from testbed.live_rows.rows import DOMAIN, HOST_WATTS, LABELS, domain, policy_map

SHARE_WATTS: Final = 3040
"""Of the budget for each node: at their maximum they draw 1.27 of it."""

CURVE: Final = Curve(points=((1.05, FOREVER), (1.08, 600.0), (1.30, 400.0)))
CALM, OVERLOAD = 0.8, 1.12
CANDIDATES: Final = 3
AT_ONCE: Final = 6
PATIENCE_S: Final = 300.0
"""For any step: a thousand handshakes share a processor."""

BRAKED_WITHIN_S: Final = 2.5
"""After the overload, which is over then: all have braked, and could be let go."""

STUBS_TELL_S: Final = 1.5
"""Until the stubs' line of that time is there."""

Entry = dict[str, Any]

BRAKE: Final = Level.BRAKE.value
EXCHANGES: Final = "loadline_power_exchanges_total{"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One overload: seconds until the brake and until each agent's read-back.

    `fan_out_s` is from the first answer that brakes until all who report have theirs written, by the
    coordinator's own journal; `heard_s` until each stub had it, on a processor that all of them share.
    """

    readback_s: tuple[float, ...]
    fan_out_s: float | None
    heard_s: tuple[float, ...]
    decided_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """What the coordinator costs while nothing happens: cores, and reports in a second."""

    leader_cores: float
    member_cores: float
    reports_hz: float

    @property
    def report_cpu_s(self) -> float:
        """CPU seconds for each report, over what an agent costs that doesn't lead."""
        return (self.leader_cores - self.member_cores) / self.reports_hz


class ReactionRow(MemberRow):
    """`agents` real ones and `stubs` others under one breaker."""

    def __init__(
        self, *, agents: int, stubs: int, say: Callable[[str], None], logs: Path | None = None
    ) -> None:
        super().__init__()
        self.nodes = tuple(f"node-{index:04}" for index in range(agents))
        self.stubs = tuple(f"stub-{index:04}" for index in range(stubs))
        self._say, self._logs = say, logs
        self._stub_process: Process | None = None

    @property
    def budget_watts(self) -> int:
        """The row's."""
        return SHARE_WATTS * (len(self.nodes) + len(self.stubs))

    @property
    def leader(self) -> str:
        """Who holds the Kubernetes Lease."""
        lease = self.bed.client.get(
            names.LEASES.path(names.lease_name(DOMAIN), namespace=names.SYSTEM_NAMESPACE)
        )
        return str(lease["spec"].get("holderIdentity") or "")

    def calm(self, seconds: float) -> Calm:
        """Let nothing happen for a while, and count."""
        leader, member = self.members[self.leader], self.members[self.nodes[-1]]
        if leader is member:
            raise BedError(f"{self.leader} leads, which is no candidate: read {self.bed.logs}")
        pids = {"leader": leader.agent.pid, "member": member.agent.pid}
        before = {name: cpu_s((pid,)) for name, pid in pids.items()}
        answered, began_s = self._answered(), time.monotonic()
        time.sleep(seconds)
        took_s = time.monotonic() - began_s
        cores = {name: (cpu_s((pid,)) - before[name]) / took_s for name, pid in pids.items()}
        return Calm(
            leader_cores=cores["leader"],
            member_cores=cores["member"],
            reports_hz=(self._answered() - answered) / took_s,
        )

    def overload(self) -> Reaction:
        """Let the row ask for more than it may draw until all have braked, and then for less again."""
        asked_s = boottime()
        self.plant.demand(OVERLOAD)
        self.until(
            lambda: self._above_s(asked_s) is not None, "the row is above its budget", within_s=PATIENCE_S
        )
        time.sleep(BRAKED_WITHIN_S)
        self.plant.demand(CALM)
        above_s = self._above_s(asked_s)
        assert above_s is not None
        wall_s = above_s + time.time() - boottime()
        brake = self._braked_s(wall_s)
        time.sleep(STUBS_TELL_S)
        reaction = Reaction(
            readback_s=tuple(self._readback_s(node, wall_s) - wall_s for node in self.nodes),
            fan_out_s=self._fan_out_s(wall_s),
            heard_s=tuple(at_s - brake for at_s in self._heard_s(wall_s)),
            decided_s=brake - wall_s,
        )
        self.until(self._free, "the row is free again", within_s=PATIENCE_S)
        return reaction

    def failover(self) -> float:
        """Kill the coordinator's agent, and start it again; the seconds until the row is free once more."""
        before = self.leader
        began_s = time.monotonic()
        self.members[before].kill()
        self.until(lambda: not self._free(), "nodes step down", within_s=PATIENCE_S)
        self.members[before].start()
        self.until(lambda: self._free() and self.leader != "", "the row is free again", within_s=PATIENCE_S)
        return time.monotonic() - began_s

    def _bring_up(self) -> None:
        everybody = (*self.nodes, *self.stubs)
        self._say(f"a control plane with {len(everybody)} nodes")
        self.bed = self._stack.enter_context(Bed(logs=self._logs))
        self.bed.add_nodes(everybody, labels=LABELS)
        objects = charts.control_plane_objects({"agent": {"canSetLimits": True}})
        self.bed.apply([one for one in objects if one["kind"] == "CustomResourceDefinition"])
        self.board = self._stack.enter_context(Board.create(self.bed.directory / "board", everybody))
        self._publish_stubs()  # before the policy comes that lets only a node's agent write
        self.bed.apply([one for one in objects if one["kind"] != "CustomResourceDefinition"])
        self.bed.apply([policy_map(), domain(DOMAIN, CURVE, budget_watts=self.budget_watts)])
        operator_writes.enlist(
            self.bed, DOMAIN, members=sorted(everybody), candidates=self.nodes[:CANDIDATES]
        )
        self.plant = self._stack.enter_context(
            Plant(self.board, curve=CURVE, budget_watts=self.budget_watts, host_watts=HOST_WATTS)
        )
        self.plant.demand(CALM)
        self._start_agents()
        self._start_stubs()
        self._stack.enter_context(
            RowWatch(
                self.bed.logs / "row.log",
                self.board,
                leader=lambda: self.leader,
                pids=self._pids,
                doors={node: self.members[node].metrics_port for node in self.nodes[:CANDIDATES]},
            )
        )
        self.until(self._free_and_armed, "every node is armed, and the row free", within_s=PATIENCE_S)

    def _publish_stubs(self) -> None:
        """Write what the stubs' agents would: a certificate each, and what their GPUs can hold."""
        for index, name in enumerate(self.stubs, start=len(self.nodes)):
            identity = Identity.load_or_create(self._state / name, node=name, address=f"127.0.0.1:{index}")
            path = names.NODE_CAPACITIES.path(name)
            head = {"apiVersion": names.API_VERSION, "kind": names.NODE_CAPACITIES.kind}
            spec = {"certificate": identity.pem, "address": identity.address}
            self.bed.client.create(
                names.NODE_CAPACITIES.path(), {**head, "metadata": {"name": name}, "spec": spec}
            )
            rating = rating_of(self.board, name, index, host_watts=HOST_WATTS)
            gpus = [
                {"uuid": gpu.uuid, "minWatts": int(gpu.min_watts), "maxWatts": int(gpu.max_watts)}
                for gpu in sorted(rating.gpus, key=lambda gpu: gpu.uuid)
            ]
            status = {"hostMaxWatts": HOST_WATTS, "gpus": gpus}
            self.bed.client.patch(f"{path}/status", {"status": status})

    def _start_agents(self) -> None:
        """Start real agents and guards, a few at a time: they share two cores."""
        self.members = members.members(self.bed, self.nodes, self.board.path)
        waiting = list(self.nodes)
        self._say(f"starting {len(waiting)} agents with their guards")
        while waiting:
            batch, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            for node in batch:
                self.members[node].start()
            self.until(partial(self._published, batch), f"{', '.join(batch)} are there", within_s=PATIENCE_S)

    def _published(self, nodes: Sequence[str]) -> bool:
        try:
            found = [self.bed.client.get(names.NODE_CAPACITIES.path(node)) for node in nodes]
        except ApiError:
            return False
        return all(one.get("status", {}).get("gpus") for one in found)

    def _start_stubs(self) -> None:
        if not self.stubs:
            return
        self._say(f"starting {len(self.stubs)} stub members in one process")
        candidates = [self._peer(node) for node in self.nodes[:CANDIDATES]]
        told = {
            "board": str(self.board.path),
            "state": str(self._state),
            "domain": DOMAIN,
            "host_watts": HOST_WATTS,
            "candidates": candidates,
            "nodes": self.stubs,
        }
        file = self.bed.directory / "stubs.json"
        file.write_text(json.dumps(told))
        environment = {**members.environment(), "PYTHONPATH": str(charts.ROOT)}
        command = (sys.executable, "-m", "testbed.doubles.stub_members", str(file))
        self._stub_process = self.bed.spawn("stubs", command, environment=environment)

    def _pids(self) -> dict[str, int]:
        """Of whom the watch tells the cost: the candidates, one other agent, all stubs, and this process."""
        shown = (*self.nodes[:CANDIDATES], self.nodes[-1])
        stubs = {} if self._stub_process is None else {"stubs": self._stub_process.pid}
        return {node: self.members[node].agent.pid for node in shown} | stubs | {"benchmark": os.getpid()}

    def _peer(self, node: str) -> tuple[str, str, str]:
        spec = self.bed.client.get(names.NODE_CAPACITIES.path(node))["spec"]
        return node, spec["address"], spec["certificate"]

    @property
    def _state(self) -> Path:
        return self.bed.directory / "stub-state"

    def _free_and_armed(self) -> bool:
        armed = sum(member.record().armed for member in self.members.values())
        stubs = self._line["armed"] if self.stubs else 0
        return armed == len(self.nodes) and stubs == len(self.stubs) and self._free()

    def _free(self) -> bool:
        return bool((self.board.requested_watts() == self._most_watts).all())

    @property
    def _most_watts(self) -> float:
        return int(self.board.header["max_mw"][0]) / 1000

    def _above_s(self, since_s: float) -> float | None:
        """When the row's true draw was first above its budget, on the boot clock."""
        moments = self.plant.between(since_s, float("inf"))
        return next((one.at_s for one in moments if one.true_watts > self.budget_watts), None)

    def _braked_s(self, since_s: float) -> float:
        """When the coordinator decided to brake, by its journal."""
        entries = self._journal(self.leader, "power/polca", since_s)
        return _first(entries, lambda one: bool(one["decision"]["caps"]["brake"]), "decision to brake")

    def _fan_out_s(self, since_s: float) -> float | None:
        """How long it took until all were told of the brake."""
        entries = self._journal(self.leader, "leadership/fan-out", since_s)
        return next((float(one["decision"]["seconds"]) for one in entries if one["reason"] == BRAKE), None)

    def _readback_s(self, node: str, since_s: float) -> float:
        """When an agent has noted the lease that braked it, which it does once its limits are read back."""
        entries = self._journal(node, "leaf/lease", since_s)
        return _first(
            entries,
            lambda one: one["reason"] == BRAKE and one["decision"]["writes"] > 0,
            f"limits read back on {node}",
        )

    def _journal(self, node: str, decider: str, since_s: float) -> list[Entry]:
        url = f"http://127.0.0.1:{self.members[node].metrics_port}/v1/journal"
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            entries = [json.loads(line) for line in answer.read().splitlines()]
        return [one for one in entries if one["decider"] == decider and _time_s(one) >= since_s]

    def _heard_s(self, since_s: float) -> list[float]:
        """When each stub was first told to brake."""
        first: dict[str, float] = {}
        for line in self._lines():
            for at_s, name, level in line["levels"]:
                if level == BRAKE and at_s >= since_s:
                    first.setdefault(name, at_s)
        return sorted(first.values())

    def _lines(self) -> list[dict[str, Any]]:
        text = (self.bed.logs / "stubs.log").read_text() if self.stubs else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    @property
    def _line(self) -> dict[str, Any]:
        """What the stubs told last."""
        return (self._lines() or [{"answered": 0, "armed": 0, "unanswered": 0, "step_downs": 0}])[-1]

    @property
    def step_downs(self) -> int:
        """How often a stub had to step down by itself, which mustn't happen."""
        return int(self._line["step_downs"])

    def _answered(self) -> int:
        """Reports answered so far, over all members."""
        return int(self._line["answered"]) + sum(map(self._exchanges, self.nodes))

    def _exchanges(self, node: str) -> int:
        url = f"http://127.0.0.1:{self.members[node].metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            lines = answer.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith(EXCHANGES)))


def _time_s(entry: Entry) -> float:
    """The wall time of an entry of a journal, in seconds since 1970."""
    return datetime.fromisoformat(str(entry["time"])).timestamp()


def _first(entries: Sequence[Entry], wanted: Callable[[Entry], bool], what: str) -> float:
    """The wall time of the first such entry of a journal; BedError where there is none."""
    for one in entries:
        if wanted(one):
            return _time_s(one)
    raise BedError(f"no {what} within {BRAKED_WITHIN_S:g} s of the overload")
