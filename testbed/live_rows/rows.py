"""
The row, brought up, and what may befall it: five nodes that together can draw more than they may.

`Row` is a context manager. Inside it a control plane, the operator, five agents, their guards and
the plant run, every node is armed, and the row is free; after it nothing of it is left. A fault is
noted with its time, since the judge excuses a while after it, and no longer.

The curve is steep on purpose: at its maximum the row trips a warm breaker in 21 s. Twice a reaction
takes 14.
"""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from loadline_agent.hardware.armed_records import ArmedRecord, Unreadable
from loadline_api import names
from loadline_policies.documents import parse_power
from loadline_policies.power.safety.breakers import FOREVER, Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from testbed import charts
from testbed.cluster.bed import Bed
from testbed.cluster.processes import Process
from testbed.doubles.agents import POLICY
from testbed.fakegpu import build
from testbed.fakegpu.board import Board, boottime
from testbed.live_rows import members
from testbed.live_rows.member_rows import MemberRow
from testbed.live_rows.outages import Outages
from testbed.live_rows.plants import Plant
from testbed.live_rows.written_policies import WrittenPolicy

Manifest = dict[str, Any]

DOMAIN: Final = "row"
NODES: Final = tuple(f"node-{index}" for index in range(5))
LABELS: Final = {f"{names.NODE_RESTRICTION_PREFIX}row": DOMAIN}
NOWHERE: Final = {f"{names.NODE_RESTRICTION_PREFIX}row": "nowhere"}
GPUS: Final = 8
HOST_WATTS: Final = 500
MIN_WATTS, MAX_WATTS = 100.0, 400.0
BUDGET_WATTS: Final = 15_200
"""Of which the nodes draw 1.27 at their maximum."""

STEEP: Final = Curve(points=((1.05, FOREVER), (1.08, 60.0), (1.30, 40.0)))
CALM: Final = 0.80
PEAK: Final = 1.35
"""More than the row can draw."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A GPU whose setter fails: how many of its writes had been refused before, and what it is called."""

    uuid: str
    refused: int


class Row(MemberRow):
    """Five nodes under one breaker. `early` are manifests to be there before the row's own domain."""

    def __init__(self, *, curve: Curve = STEEP, early: tuple[Manifest, ...] = (), say: Say = print) -> None:
        super().__init__()
        self.curve, self.nodes = curve, NODES
        self.began_s = boottime()
        self.up_s: dict[str, float | None] = dict.fromkeys(NODES)
        self.dead: dict[tuple[int, int], Dead] = {}
        self.healed_s: dict[str, float] = {}
        self.strangers: dict[str, int] = {}
        self.faulty_s = self.began_s
        self.policy = WrittenPolicy(good=True, hash=parse_power(POLICY).hash)
        self._early, self._say = early, say

    def start(self, node: str) -> None:
        """What a kubelet does for a container that isn't there."""
        self.members[node].start()
        self.up_s[node] = boottime()

    def kill(self, node: str) -> None:
        """SIGKILL to a node's agent, by its process id; its guard lives on."""
        self.members[node].agent.send(signal.SIGKILL)
        self.up_s[node] = None

    def fail_setters(self, *nodes: str) -> None:
        """Let every setter of these nodes answer with an error from now on."""
        for index in map(self.nodes.index, nodes):
            for gpu, uuid in enumerate(self.board.uuids(index)):
                self.dead[index, gpu] = Dead(uuid=uuid, refused=int(self.board.gpus["refused"][index, gpu]))
                self.board.fail(index, gpu, writes=999)
        self.faulty_s = boottime()

    def heal_setters(self) -> None:
        """Let them work again."""
        for index, gpu in self.dead:
            self.board.heal(index, gpu)
            self.healed_s[self.dead[index, gpu].uuid] = boottime()
        self.dead.clear()
        self.faulty_s = boottime()

    def haunt(self, node: str, *, every_s: float, watts: float = MAX_WATTS) -> Process:
        """Let a stranger write all limits of a node again and again, until its process is ended."""
        command = [sys.executable, "-m", "testbed.live_rows.strangers"]
        command += ["--watts", str(watts), "--every", str(every_s)]
        environment = {**members.environment(), **build.environment(self.board.path, node)}
        environment["PYTHONPATH"] = str(charts.ROOT)
        stranger = self.bed.spawn(f"stranger-{node}", command, environment=environment)
        self.strangers[node] = stranger.pid
        self.faulty_s = boottime()
        return stranger

    def patch(self, name: str = DOMAIN, **spec: Any) -> None:
        """Edit a PowerDomain as a person would; ApiError with the server's sentence if it is refused."""
        self.bed.client.patch(names.POWER_DOMAINS.path(name), {"spec": spec})

    def write_policy(self, text: str) -> None:
        """Edit the row's policy as a person would, whatever that is."""
        path = self.bed.client.path_of(policy_map())
        self.bed.client.patch(path, {"data": {names.POLICY_KEY: text}})
        self.policy = self.policy.then(text)

    def record(self, node: str) -> ArmedRecord | None:
        """What a node's agent promises its guard; None if it is torn."""
        try:
            return self.members[node].record()
        except Unreadable:
            return None

    @property
    def free(self) -> bool:
        """Whether every limit is where it was found, so that no step of arming is under way either."""
        return bool((self.board.requested_watts() == MAX_WATTS).all())

    def _bring_up(self) -> None:
        self._say("bringing up a control plane and the operator")
        self.bed = self._stack.enter_context(Bed())
        self.bed.add_nodes(self.nodes, labels=LABELS)
        self.bed.apply(charts.control_plane_objects({"agent": {"canSetLimits": True}}))
        self.operator = members.operator(self.bed)
        self.bed.apply([policy_map(), *self._early])
        if self._early:
            time.sleep(1.1)  # creation times have whole seconds, and the older domain is the one before
        self.bed.apply([domain(DOMAIN, self.curve)])
        self.board = self._stack.enter_context(Board.create(self.bed.directory / "board", self.nodes))
        self.outages = Outages(self.board, self._note_fault)
        self.plant = self._stack.enter_context(
            Plant(self.board, curve=self.curve, budget_watts=BUDGET_WATTS, host_watts=HOST_WATTS)
        )
        self.plant.demand(CALM)
        self._say("starting an agent and a guard on each of five nodes")
        self.members = members.members(self.bed, self.nodes, self.board.path)
        for node in self.nodes:
            self.start(node)
        self.until(self._armed, "every node is armed")
        self.until(lambda: self.free and self._proven(), "the row is free, and every setter proven")

    def _note_fault(self) -> None:
        self.faulty_s = boottime()

    def _armed(self) -> bool:
        records = [self.record(node) for node in self.nodes]
        return all(record is not None and record.armed for record in records)

    def _proven(self) -> bool:
        """Whether each GPU has taken the step of arming, down and up again."""
        return bool((self.board.writes() >= 2).all())


def domain(
    name: str,
    curve: Curve,
    *,
    mode: str = "Enforce",
    labels: Mapping[str, str] = LABELS,
    budget_watts: int = BUDGET_WATTS,
) -> Manifest:
    """A PowerDomain over the nodes with these labels."""
    (borne, _), *points = curve.points
    rest = [{"percent": round(load * 100), "seconds": round(seconds)} for load, seconds in points]
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.POWER_DOMAINS.kind,
        "metadata": {"name": name},
        "spec": {
            "budgetWatts": budget_watts,
            "mode": mode,
            "nodeSelector": {"matchLabels": dict(labels)},
            "policyRef": {"name": "power-row"},
            "hostWatts": {"max": HOST_WATTS},
            "breaker": {
                "coolingSeconds": round(curve.cooling_s),
                "curve": [{"percent": round(borne * 100)}, *rest],
            },
        },
    }


def policy_map() -> Manifest:
    """The ConfigMap with POLCA close to the budget, as a row that sets clocks in band may have it."""
    metadata = {
        "name": "power-row",
        "namespace": names.SYSTEM_NAMESPACE,
        "labels": {names.POLICY_LABEL: "power"},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {names.POLICY_KEY: POLICY},
    }


def nameplate_load() -> float:
    """What all nodes at their maximum draw, of the budget."""
    return len(NODES) * (HOST_WATTS + SENSOR_GAIN * GPUS * MAX_WATTS) / BUDGET_WATTS
