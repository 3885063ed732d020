"""
A candidate's half of the protocol: lead while elected, hold reports, answer each with a lease.

No clock and no socket is here: the agent carries for it over TLS, the simulator in virtual
time. What a lease says is decided by `coordinators`; here is when a coordinator begins and
ends, and when a report is answered. One is made for each epoch won, and an epoch that has
ended is never led again: its successor must be a higher one, or nodes would refuse its first
leases.

A report is held until its time is over. It is answered sooner when its node must hear at once,
or when the node itself comes back out of turn: then the held report is over, and the new one
is answered immediately.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol import plausibility
from loadline_policies.power.protocol.coordinators import Coordinator, Observe, unobserved
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch, Lease, Report
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.reliefs import Relieve

DECIDE_EVERY_S: Final = 1.0
"""How often a coordinator decides without being asked: the `decision_s` of S2's sum."""

HOLD_SHARE: Final = 0.25
"""Of a lease's time, how long a report is held at most, and never above the `report_s` of S2's sum:
an answer must reach its node while the lease before it still has half of its time."""

HOLD_SPREAD: Final = (0.8, 1.0)
"""Members that were answered together shouldn't come back together for ever."""

REST_S: Final = (15.0, 120.0)
"""For how long who hears too few rests: at first, and at most, doubled each time."""

FEW_AGAIN_S: Final = 3600.0
"""How often a candidate may give up for that: where nobody hears more, somebody must lead all the same."""

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Leased:
    """A report is answered with a lease."""

    report: Report
    lease: Lease


@dataclass(frozen=True, slots=True)
class Superseded:
    """A report is over: a later one of its node is answered."""

    report: Report


@dataclass(frozen=True, slots=True)
class NotLeading:
    """A report has come to one who doesn't lead, or not any more."""

    report: Report


@dataclass(frozen=True, slots=True)
class NotAMember:
    """A report has come from a node that the domain neither selects nor has armed."""

    report: Report


@dataclass(frozen=True, slots=True)
class Implausible:
    """A report can't be true; `sentence` says what of it."""

    report: Report
    sentence: str


Answer = Leased | Superseded | NotLeading | NotAMember | Implausible


@dataclass(frozen=True, slots=True)
class Began:
    """An epoch is led from now on."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Ended:
    """An epoch is led no more: `lost` to another, `over` by its own judgement, `few` heard, or `stopped`.

    For `rest_s` seconds this candidate leaves the Kubernetes Lease to others.
    """

    epoch: Epoch
    reason: str
    rest_s: float = 0.0


Output = Answer | Began | Ended


@dataclass(frozen=True, slots=True)
class ElectionState:
    """What the Kubernetes Lease says: the epoch that this node leads, and when its renewal was sent.

    `others` is how many candidates there are beside it.
    """

    epoch: Epoch | None = None
    renewed_sent_s: float = -NEVER
    others: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    report: Report
    until_s: float


class Leader:
    """One candidate. `coordinator` is None while it doesn't lead.

    `uniform(least, most)` spreads the holds, `relieve` decides who is let off a cap, `observe` is
    called with every decision of the policy.
    """

    def __init__(
        self,
        uniform: Callable[[float, float], float],
        relieve: Relieve = reliefs.decide,
        observe: Observe = unobserved,
    ) -> None:
        self.coordinator: Coordinator | None = None
        self._uniform, self._relieve, self._observe = uniform, relieve, observe
        self._declared: Domain | None = None
        self._ended: Epoch | None = None
        self._held: dict[str, _Held] = {}
        self._times: list[tuple[float, str]] = []
        self._few_s, self._rest_s = -NEVER, REST_S[0]

    def step(self, election: ElectionState, declared: Domain | None, now: float) -> tuple[Output, ...]:
        """Begin, go on or end, as election and declaration say, and decide; once a second at least.

        `declared` is the same object until something changes, and None while nothing is known.
        """
        out: list[Output] = []
        if self.coordinator is not None and self.coordinator.epoch != election.epoch:
            out += self._end("lost")
        if self.coordinator is None:
            out += self._begin(election, declared, now)
        if self.coordinator is not None:
            out += self._go_on(self.coordinator, election, declared, now=now)
        return (*out, *self._flush(now))

    def report(self, report: Report, election: ElectionState, now: float) -> tuple[Output, ...]:
        """A report has come; what becomes of it, now or later, and of others because of it."""
        coordinator = self.coordinator
        if coordinator is None or coordinator.epoch != election.epoch:
            return (NotLeading(report),)
        if not coordinator.knows(report):
            return (NotAMember(report),)
        try:
            plausibility.check(report)
        except InvalidInput as error:
            return (Implausible(report, str(error)),)
        coordinator.renewed(election.renewed_sent_s)
        if coordinator.refutes(report):
            return (Implausible(report, _refuted(report, coordinator.epoch)),)
        coordinator.receive(report, now)
        if coordinator.over:
            return (*self._end("over"), NotLeading(report))
        before = self._held.pop(report.node, None)
        over = (self._answer(before.report, now),) if before is not None else ()
        return (*over, *self._flush(now), *self._hold(coordinator, report, now, at_once=before is not None))

    def due(self, now: float) -> tuple[Output, ...]:
        """Answer the reports whose time is over."""
        out = []
        while self.wake_s <= now:
            out.append(self._release(heapq.heappop(self._times)[1], now))
        return tuple(out)

    @property
    def wake_s(self) -> float:
        """When `due` is next worth asking."""
        while self._times:
            until_s, node = self._times[0]
            held = self._held.get(node)
            if held is not None and held.until_s == until_s:
                return until_s
            heapq.heappop(self._times)  # answered before its time
        return NEVER

    def forget(self, report: Report) -> None:
        """Nobody waits for the answer to a report any more."""
        held = self._held.get(report.node)
        if held is not None and held.report.sequence == report.sequence:
            del self._held[report.node]

    def close(self) -> tuple[Output, ...]:
        """Lead no more."""
        return self._end("stopped") if self.coordinator is not None else ()

    def _begin(self, election: ElectionState, declared: Domain | None, now: float) -> tuple[Output, ...]:
        if election.epoch is None or election.epoch == self._ended or declared is None:
            return ()
        self._declared = declared
        self.coordinator = Coordinator(
            declared,
            election.epoch,
            now=now,
            renewed_sent_s=election.renewed_sent_s,
            relieve=self._relieve,
            observe=self._observe,
        )
        return (Began(election.epoch),)

    def _go_on(
        self, coordinator: Coordinator, election: ElectionState, declared: Domain | None, *, now: float
    ) -> tuple[Output, ...]:
        coordinator.renewed(election.renewed_sent_s)
        if declared is not None and declared is not self._declared:
            self._declared = declared
            coordinator.configure(declared, now)
        else:
            coordinator.decide(now)
        coordinator.look(now)
        if coordinator.over:
            return self._end("over")
        may_give_up = election.others > 0 and now - self._few_s >= FEW_AGAIN_S
        return self._give_up(now) if may_give_up and coordinator.hears_too_few(now) else ()

    def _give_up(self, now: float) -> tuple[Output, ...]:
        """Leave it to another candidate, which may hear more of the members."""
        rest_s, self._few_s, self._rest_s = self._rest_s, now, min(2 * self._rest_s, REST_S[1])
        return self._end("few", rest_s)

    def _end(self, reason: str, rest_s: float = 0.0) -> tuple[Output, ...]:
        assert self.coordinator is not None
        self._ended = self.coordinator.epoch
        self.coordinator, self._declared = None, None
        held = [NotLeading(held.report) for held in self._held.values()]
        self._held.clear()
        return (Ended(self._ended, reason, rest_s), *held)

    def _hold(
        self, coordinator: Coordinator, report: Report, now: float, *, at_once: bool
    ) -> tuple[Output, ...]:
        if report.node not in coordinator.members:
            return (NotAMember(report),)
        if at_once or not coordinator.expects(report) or coordinator.urgent(report.node):
            return (self._answer(report, now),)
        timings = coordinator.domain.timings
        most_s = min(timings.report_s, HOLD_SHARE * timings.lease_s)
        until_s = now + most_s * self._uniform(*HOLD_SPREAD)
        self._held[report.node] = _Held(report, until_s)
        heapq.heappush(self._times, (until_s, report.node))
        return ()

    def _flush(self, now: float) -> tuple[Output, ...]:
        """Answer every held report whose node must hear at once."""
        leader = self.coordinator
        if leader is not None and not leader.stirred():
            return ()
        urgent = [
            node for node in self._held if leader is None or node not in leader.members or leader.urgent(node)
        ]
        return tuple([self._release(node, now) for node in urgent])

    def _release(self, node: str, now: float) -> Answer:
        return self._answer(self._held.pop(node).report, now)

    def _answer(self, report: Report, now: float) -> Answer:
        leader = self.coordinator
        if leader is None or report.node not in leader.members:
            return NotLeading(report)
        if not leader.expects(report):
            return Superseded(report)
        return Leased(report, leader.answer(report.node, now))


def _refuted(report: Report, led: Epoch) -> str:
    told = report.epoch.transitions if report.epoch is not None else 0
    return (
        f"report.epoch.transitions is {told}: the API server has renewed {led.transitions} since;"
        " see who else writes this node's messages"
    )
