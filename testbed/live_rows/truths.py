"""
What is true of the row at one second, by its processes, its board and its records.

A fault counts as known from when it could first be seen: a dead setter from its first refused
write, a stranger from its second one. Who leads is whoever holds the Kubernetes Lease, lives, and
has renewed it since it started.
"""

import time
from dataclasses import dataclass
from typing import Final

from loadline_agent.hardware.armed_records import ArmedRecord
from loadline_api.power_domains import NodeSelector
from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from testbed.fakegpu.board import boottime
from testbed.live_rows.outages import Outage
from testbed.live_rows.plants import Floats, Moment
from testbed.live_rows.rows import HOST_WATTS, LABELS, MAX_WATTS, MIN_WATTS, Row
from testbed.live_rows.statuses import Said
from testbed.live_rows.writers import Writers
from testbed.live_rows.written_policies import WrittenPolicy

SELECTOR: Final = NodeSelector(match_labels=LABELS)
STARTS_WITHIN_S: Final = 12.0
"""How long an agent may take until it is known to run. Python alone takes two of it, on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One second of the row. Times are of the boot clock, `led_s` is how long the same one has led.

    `dead` are GPUs whose failing setters could be seen, since when; `healed_s` those that work again.
    `outages` are all so far. `forgotten_s` is by node when limits rose since a driver had forgotten them.
    `falls_watts` is what every node truly comes to with nobody's help, hosts included.
    """

    at_s: float
    wall_s: float
    moment: Moment
    leader: str
    led_s: float
    up_s: dict[str, float | None]
    records: dict[str, ArmedRecord | None]
    limits_watts: dict[str, list[float]]
    locked_mhz: dict[str, list[int]]
    uuids: dict[str, tuple[str, ...]]
    dead: dict[str, dict[str, float]]
    unseen: frozenset[str]
    healed_s: dict[str, float]
    foreign_s: dict[str, list[float]]
    forgotten_s: dict[str, list[float]]
    outages: tuple[Outage, ...]
    policy: WrittenPolicy
    falls_watts: dict[str, float]
    claims: int

    def up(self, node: str, for_s: float = STARTS_WITHIN_S) -> bool:
        """Whether a node's agent has run for so long."""
        since_s = self.up_s[node]
        return since_s is not None and self.at_s - since_s >= for_s

    def down(self, node: str) -> bool:
        """Whether a node has no agent."""
        return self.up_s[node] is None

    def silent(self, node: str) -> set[str]:
        """GPUs of a node that nobody can read."""
        return {one.uuid for one in self._lasting(node) if one.kind.silent}

    def faulty(self, node: str) -> set[str]:
        """The same, and those whose sensors tell what can't be."""
        return {one.uuid for one in self._lasting(node)}

    def may_be_told(self, node: str, *, for_s: float = 0.0) -> set[str]:
        """GPUs of a node that are faulty, or were, and may be told as such for so much longer."""
        told = [one for one in self.outages if one.may_be_told(self.at_s, for_s=for_s)]
        return {one.uuid for one in told if one.node == node}

    def _lasting(self, node: str) -> list[Outage]:
        return [one for one in self.outages if one.node == node and one.lasts(self.at_s)]


class Witness:
    """Makes the truth of one second after the other."""

    def __init__(self, row: Row, writers: Writers) -> None:
        self._row, self._writers = row, writers
        self._dead_s: dict[tuple[int, int], float] = {}
        self._leader, self._led_since_s = "", 0.0

    def truth(self, said: Said) -> Truth:
        """What is so now; of what was said only who holds the Lease and who selects the nodes."""
        row, now = self._row, boottime()
        limits, locked = row.board.enforced_watts(now), row.board.locked_mhz(now)
        self._look_at_setters(now)
        leader = self._led(said, now)
        selecting = [one for one in said.domains.values() if one.spec.node_selector == SELECTOR]
        return Truth(
            at_s=now,
            wall_s=time.time(),
            moment=row.plant.now,
            leader=leader,
            led_s=now - self._led_since_s if leader else 0.0,
            up_s=dict(row.up_s),
            records={node: row.record(node) for node in row.nodes},
            limits_watts={node: [float(one) for one in limits[i]] for i, node in enumerate(row.nodes)},
            locked_mhz={node: [int(one) for one in locked[i]] for i, node in enumerate(row.nodes)},
            uuids={node: row.board.uuids(i) for i, node in enumerate(row.nodes)},
            dead=self._dead(),
            unseen=frozenset(row.nodes[index] for index, gpu in row.dead.keys() - self._dead_s.keys()),
            healed_s=dict(row.healed_s),
            foreign_s={node: list(times) for node, times in self._writers.foreign_s.items()},
            forgotten_s={node: list(times) for node, times in self._writers.forgotten_s.items()},
            outages=row.outages.known,
            policy=row.policy,
            falls_watts={node: self._falls_watts(i, limits) for i, node in enumerate(row.nodes)},
            claims=len(selecting),
        )

    def _look_at_setters(self, now: float) -> None:
        row = self._row
        refused = row.board.gpus["refused"]
        for key in self._dead_s.keys() - row.dead.keys():
            del self._dead_s[key]
        for key, one in row.dead.items():
            if int(refused[key]) > one.refused:
                self._dead_s.setdefault(key, now)

    def _dead(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {node: {} for node in self._row.nodes}
        for (index, gpu), since_s in self._dead_s.items():
            found[self._row.nodes[index]][self._row.dead[index, gpu].uuid] = since_s
        return found

    def _led(self, said: Said, now: float) -> str:
        row = self._row
        since_s = row.up_s.get(said.holder)
        alive = since_s is not None and row.members[said.holder].agent.running
        renewed = alive and since_s is not None and said.renewed_s > time.time() - (now - since_s)
        leader = said.holder if renewed else ""
        if leader != self._leader:
            self._leader, self._led_since_s = leader, now
        return leader

    def _falls_watts(self, index: int, limits: Floats) -> float:
        """Where it falls: agent or guard step it down, but for what can't be set, or can't be read."""
        row, node = self._row, self._row.nodes[index]
        requested = row.board.requested_watts()[index]
        record = row.record(node)
        steps = (
            record is not None and record.armed and any(one.running for one in row.members[node].processes)
        )
        safe = {gpu.uuid: gpu.safe_watts for gpu in record.gpus} if record is not None and steps else {}
        silent = {one.gpu for one in row.outages.known if one.index == index and one.stays}
        total = 0.0
        for gpu, uuid in enumerate(row.board.uuids(index)):
            held = max(float(limits[index, gpu]), float(requested[gpu]))
            stays = (index, gpu) in row.dead or gpu in silent
            total += held if stays else min(held, max(safe.get(uuid, MAX_WATTS), MIN_WATTS))
        return HOST_WATTS + SENSOR_GAIN * total


def lowest_watts(truth: Truth) -> float:
    """The least that the row could be held at.

    Who can't be set counts at what it holds, who can't be read at all that it may.
    """
    total = 0.0
    for node, uuids in truth.uuids.items():
        limits, silent = zip(uuids, truth.limits_watts[node], strict=True), truth.silent(node)
        held = (
            watts if uuid in truth.dead[node] else MIN_WATTS for uuid, watts in limits if uuid not in silent
        )
        total += HOST_WATTS + SENSOR_GAIN * (sum(held) + MAX_WATTS * len(silent))
    return total


def names_gpus(text: str, uuids: tuple[str, ...]) -> set[str]:
    """Which of these GPUs a sentence names."""
    return {uuid for uuid in uuids if uuid in text}
