"""What a report costs its coordinator goes by the node that sends it, and not by the square of the row."""

import heapq
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.leaders import ElectionState, Leader, Leased
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Lease, Report

POLCA = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\nsettings: {{}}")
EPOCH, SECOND = Epoch(1, "uid"), Epoch(2, "uid")
SHARE_WATTS = 600.0
CALM_WATTS, PEAK_WATTS = 150.0, 360.0
FEW, MANY = 20, 160
BEGIN_S, SETTLED_S = 100.0, 108.0


def work(act: Callable[[], object]) -> int:
    """How many instructions of Python an act takes, which is the same on any machine."""
    done = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal done
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        done += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return done


class Row:
    """A row of nodes of one GPU that report once a second and obey, and who leads it."""

    def __init__(self, count: int) -> None:
        self.nodes = [f"node-{index:03}" for index in range(count)]
        self.domain = Domain(
            name="row",
            budget_watts=count * SHARE_WATTS,
            members=frozenset(self.nodes),
            document=POLCA,
            enforce=True,
        )
        self.leader = Leader(lambda least, most: least)
        self.leases: dict[str, Lease] = {}
        self.sequence = 0
        self.watts, self.epoch = CALM_WATTS, EPOCH

    def elected(self, now: float) -> ElectionState:
        return ElectionState(self.epoch, now)

    def report(self, node: str) -> Report:
        self.sequence += 1
        lease = self.leases.get(node)
        limits = lease.limits if lease is not None and lease.act is Act.ENFORCE else ()
        gpu = GpuReport(
            uuid=node, watts=self.watts, enforced_watts=400.0, min_watts=100.0, max_watts=400.0, able=True,
            proven=True, found_watts=400.0,
        )  # fmt: skip
        gpus = [replace(gpu, enforced_watts=one.watts, safe_watts=one.safe_watts) for one in limits] or [gpu]
        return Report(
            node=node, domain="row", sequence=self.sequence, age_s=0.1, host_watts=100.0,
            host_max_watts=200.0, gpus=tuple(gpus), epoch=lease.epoch if lease is not None else None,
            lease_sequence=lease.sequence if lease is not None else 0, armed=bool(limits), heat=0.2,
            heat_age_s=0.1,
        )  # fmt: skip

    def take(self, outputs: tuple[object, ...]) -> None:
        self.leases |= {one.report.node: one.lease for one in outputs if isinstance(one, Leased)}

    def turn(self, now: float, *, silent: int = 0) -> None:
        """A second in which all nodes report, but for the last so many, and all that is held is answered."""
        self.take(self.leader.step(self.elected(now), self.domain, now))
        for node in self.nodes[: len(self.nodes) - silent]:
            self.take(self.leader.report(self.report(node), self.elected(now), now))
        self.take(self.leader.due(now + 0.9))

    def settled(self, *, silent: int, watts: float) -> float:
        """Let the row be armed in calm, then some be silent and all others draw so much; the time then.

        Reports of all others are held.
        """
        now = BEGIN_S
        while now < SETTLED_S:
            self.turn(now)
            now += 1.0
        for _ in range(5 if silent else 0):
            self.turn(now, silent=silent)
            now += 1.0
        self.watts = watts
        for _ in range(4):
            self.turn(now, silent=silent)
            now += 1.0
        self.take(self.leader.step(self.elected(now), self.domain, now))
        for node in self.nodes[: len(self.nodes) - silent]:
            self.take(self.leader.report(self.report(node), self.elected(now), now))
        assert self.leader.coordinator is not None
        assert self.leader.coordinator.members.enforcing
        return now + 0.01

    def next_report(self, *, silent: int, watts: float) -> int:
        """What the next report takes, the look at those that wait included, when one has just come."""
        now = self.settled(silent=silent, watts=watts)
        first, second = map(self.report, self.nodes[:2])
        election = self.elected(now)
        self.take(self.leader.report(first, election, now))
        return work(lambda: self.leader.report(second, election, now))

    def return_of_one(self, *, silent: int) -> int:
        """What the first report takes of one of many that have been silent."""
        now = self.settled(silent=silent, watts=CALM_WATTS)
        first, second = map(self.report, self.nodes[-2:])
        election = self.elected(now)
        self.take(self.leader.report(first, election, now))
        return work(lambda: self.leader.report(second, election, now))

    def find_successor(self, *, heard: int) -> int:
        """What the first report of one takes to a new coordinator that has decided by those of so many."""
        now = self.settled(silent=0, watts=CALM_WATTS)
        self.epoch, self.leader = SECOND, Leader(lambda least, most: least)
        for _ in range(4):
            self.take(self.leader.step(self.elected(now), self.domain, now))
            for node in self.nodes[:heard]:
                self.take(self.leader.report(self.report(node), self.elected(now), now))
            now += 1.0
        self.take(self.leader.step(self.elected(now), self.domain, now))
        first, second = map(self.report, self.nodes[-2:])
        election = self.elected(now)
        self.take(self.leader.report(first, election, now))
        return work(lambda: self.leader.report(second, election, now))


@pytest.mark.parametrize("watts", [CALM_WATTS, PEAK_WATTS], ids=["in calm", "near a threshold"])
@pytest.mark.parametrize(
    "share", [0.0, 0.1, 0.25], ids=["all are heard", "some are silent", "many are silent"]
)
def test_a_report_takes_as_much_work_in_a_long_row_as_in_a_short_one(share: float, watts: float) -> None:
    """It took all members several times, silent ones even more, and every one that waited: at 256 nodes that
    was more than a core, and the lag made others silent."""
    few, many = (Row(count).next_report(silent=int(count * share), watts=watts) for count in (FEW, MANY))
    assert many <= 1.1 * few


@pytest.mark.parametrize("share", [0.25, 0.75], ids=["many are silent", "most are silent"])
def test_a_member_that_was_silent_is_taken_back_at_the_same_cost_in_a_long_row(share: float) -> None:
    """It had all that were still silent summed anew: 20 ms at 1,024 nodes. So a coordinator that had lost its
    members took 50 of them back in a second, lost as many meanwhile, and never had them all."""
    few, many = (Row(count).return_of_one(silent=int(count * share)) for count in (FEW, MANY))
    assert many <= 1.1 * few


@pytest.mark.parametrize("share", [0.25, 0.75], ids=["few have come", "most have come"])
def test_a_members_first_report_to_a_successor_costs_the_same_in_a_long_row(share: float) -> None:
    """It had the nameplates of all summed anew."""
    few, many = (Row(count).find_successor(heard=int(count * share)) for count in (FEW, MANY))
    assert many <= 1.1 * few


class Queue:
    """A row whose coordinator does one thing after the other, each in the time that its work takes it.

    It has `capacity` instructions a second. A member reports when it was answered, or after a lease in vain.
    """

    def __init__(self, row: Row, *, now: float, capacity: float) -> None:
        self.row, self.now, self._capacity = row, now, capacity
        self._next = [(now, node) for node in row.nodes]
        self._step_s = now

    def run(self, until_s: float) -> None:
        while self.now < until_s:
            if self._step_s <= self.now:
                self._step_s += 1.0
                self._do(lambda: self.row.leader.step(self.row.elected(self.now), self.row.domain, self.now))
            self._do(lambda: self.row.leader.due(self.now))
            if self._next and self._next[0][0] <= self.now:
                self._report(heapq.heappop(self._next)[1])
            else:
                self.now += 0.01

    def _report(self, node: str) -> None:
        report, election = self.row.report(node), self.row.elected(self.now)
        self._do(lambda: self.row.leader.report(report, election, self.now))

    def _do(self, act: Callable[[], tuple[object, ...]]) -> None:
        outputs: list[object] = []
        self.now += work(lambda: outputs.extend(act())) / self._capacity
        self.row.take(tuple(outputs))
        for one in outputs:
            if isinstance(one, Leased):
                heapq.heappush(self._next, (self.now, one.report.node))


def test_a_coordinator_that_has_lost_its_members_takes_them_all_back_where_a_calm_row_fits() -> None:
    """A failure that feeds itself: who is late loses members, and is later for each that it lost."""
    row = Row(MANY)
    calm = row.next_report(silent=0, watts=CALM_WATTS)
    capacity = MANY * calm / 0.85
    row = Row(MANY)
    now = row.settled(silent=MANY - 1, watts=CALM_WATTS) + 10.0
    assert row.leader.coordinator is not None
    queue = Queue(row, now=now, capacity=capacity)
    queue.run(now + 8.0)
    assert row.leader.coordinator.members.silent(queue.now) == ()
