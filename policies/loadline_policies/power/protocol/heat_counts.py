"""
The breaker's heat as one coordinator counts it: what others counted before, what nobody did, and its own.

Members tell the heat that they last heard, and how long ago that was: each tale is a bound from above,
and one member may lie, so that the second lowest is believed. Since then nobody may have led: their
leases ran on, and until they were over the row could draw all that it can. After that every node
was at its safe limit, or counts at its worst. A coordinator that dies of the work of braking, again
and again, would otherwise let the breaker trip with a count of heat that is low and always the same.

Where somebody is found armed and nobody tells of heat, as after a restart of all agents, it
may be as high as a row is ever let go to: `unknown`.

A driver that was loaded anew has forgotten its limits before anybody can know: for some seconds its
GPUs count at what was read last. Once their node tells, those seconds are counted again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.node_states import UNREADABLE_AFTER_S
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.breakers import TRIP, WARM, Curve
from loadline_policies.power.safety.safe_states import Timings

COLDEST: Final = 0.0
BELIEVED_FROM: Final = 2
"""How many members tell no more than this heat, or less: one of them may be wrong."""

NEWER_S: Final = 1.0
"""By how much a tale must be newer than the one before: messages take their time."""

COUNT_EVERY_S: Final = 0.25
"""How often at most the heat is counted anew while members tell of it."""


UNKNOWN_FOR_S: Final = UNREADABLE_AFTER_S + 1.0
"""For how long a GPU may have held more than was read last when its node tells so: its looks, and the way."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """A stretch of time as it was counted, and the heat at its beginning."""

    heat: float
    load: float
    dt_s: float


@dataclass(frozen=True, slots=True)
class _Told:
    heat: float
    at_s: float


class HeatCount:
    """The heat, between cold and tripped, as a share of what trips the breaker."""

    def __init__(self) -> None:
        self.heat = WARM
        self._load = 0.0
        self._past: deque[_Counted] = deque()
        self._past_s = 0.0
        self._inherited, self._settled = _Inherited(), False
        self._told_s: dict[str, float] = {}

    def advance(self, curve: Curve, *, load: float, dt_s: float) -> None:
        """Count `dt_s` seconds that end at `load`, a share of the budget.

        At the higher of the loads at both ends: nobody knows when within them it moved. Counted at the
        last one alone, a pulse that is braked at once counts for half of what it is, every time.
        """
        counted = _Counted(self.heat, max(self._load, load), dt_s)
        self.heat = _bounded(curve.heated(self.heat, load=counted.load, dt_s=dt_s))
        self._load = load
        self._past.append(counted)
        self._past_s += dt_s
        while self._past_s - self._past[0].dt_s >= UNKNOWN_FOR_S:
            self._past_s -= self._past.popleft().dt_s

    def recount(self, curve: Curve, *, more_load: float) -> None:
        """Count the last seconds again, in which so much more may have been drawn than was counted."""
        heat = self._past[0].heat if self._past else self.heat
        for one in self._past:
            heat = curve.heated(heat, load=one.load + more_load, dt_s=one.dt_s)
        self.heat = max(self.heat, _bounded(heat))

    def learn(self, report: Report, domain: Domain, members: Roster, *, now: float) -> None:
        """Take over what a report tells of an epoch before ours.

        Until the heat is settled it is what members tell; later another's count can only raise it, if it is
        newer than what that member told before: the older one has been counted on from here.
        """
        tales = _Inherited() if self._settled else self._inherited
        told = tales.hear(report, domain.timings, now=now)
        if told is not None:
            before_s = self._told_s.get(report.node, float("-inf"))
            self._told_s[report.node] = max(before_s, told.at_s)
            if self._settled and told.at_s > before_s + NEWER_S:
                self.heat = max(self.heat, tales.heat(domain, members, now=now))
        if not self._settled and tales.due(members, now=now):
            self.heat = tales.heat(domain, members, now=now)

    def settle(self, ceiling_heat: float | None) -> None:
        """All were heard, or had the time: from now on the heat is what is counted here.

        Where a node was found armed and nobody told of heat, it may be at the ceiling, once that is known.
        """
        self._settled = True
        if ceiling_heat is not None and self._inherited.unknown:
            self.heat = max(self.heat, ceiling_heat)
            self._inherited = _Inherited()


class _Inherited:
    """What members told of earlier coordinators' counts."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._armed = False
        self._counted_s = float("-inf")

    @property
    def unknown(self) -> bool:
        """Whether an armed node was found, and nobody told of heat."""
        return self._armed and not self._told

    def due(self, members: Roster, *, now: float) -> bool:
        """Whether to count anew: tales may come by the thousand, and each time costs as many steps."""
        if not self._told:
            return False
        late = now - self._counted_s >= COUNT_EVERY_S
        return late or len(self._told) <= BELIEVED_FROM or members.acquainted

    def hear(self, report: Report, timings: Timings, *, now: float) -> _Told | None:
        """Take what a report tells of an epoch before ours; an age that isn't told is a whole lease."""
        self._armed |= report.armed
        if report.heat is None:
            return None
        age_s = timings.lease_s if report.heat_age_s is None else max(0.0, report.heat_age_s)
        told = _Told(_bounded(report.heat), now - age_s)
        self._told[report.node] = told
        return told

    def heat(self, domain: Domain, members: Roster, *, now: float) -> float:
        """The heat now, if nobody has counted it since it was told: the second lowest of what they tell.

        No coordinator counts too little: each tale is a bound from above, and the lowest would do. That
        one is left to the one member that may be broken or hostile.
        """
        self._counted_s = now
        most_load = members.nameplate_watts / domain.budget_watts
        load = members.hot_watts(now) / domain.budget_watts
        heats = sorted(
            _grown(told, domain.curve, domain.timings, most_load=most_load, load=load, now=now)
            for told in self._told.values()
        )
        return heats[:BELIEVED_FROM][-1]


def _bounded(heat: float) -> float:
    """The heat between cold and tripped, whatever somebody says."""
    return min(TRIP, max(COLDEST, heat))


def _grown(
    told: _Told, curve: Curve, timings: Timings, *, most_load: float, load: float, now: float
) -> float:
    gap_s = max(0.0, now - told.at_s)
    free_s = min(gap_s, timings.lease_s + timings.actuation_s)
    heat = curve.heated(told.heat, load=most_load, dt_s=free_s)
    return _bounded(curve.heated(heat, load=load, dt_s=gap_s - free_s))
