"""
The breaker's heat as one coordinator counts it: what others counted before, what nobody did, and its own.

Members tell the heat that they last heard, and how long ago that was. Since then nobody may
have led: their leases ran on, and until they were over the row could draw all that it can.
After that every node was at its safe limit, or counts at its worst. A coordinator that dies
of the work of braking, again and again, would otherwise let the breaker trip with a count
of heat that is low and always the same.

Where somebody is found armed and nobody tells of heat, as after a restart of all agents, it
may be as high as a row is ever let go to: `unknown`.
"""

from dataclasses import dataclass
from typing import Final

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.breakers import TRIP, WARM, Curve
from loadline_policies.power.safety.safe_states import Timings

COLDEST: Final = 0.0


@dataclass(frozen=True, slots=True)
class _Told:
    heat: float
    at_s: float


class HeatCount:
    """The heat, between cold and tripped, as a share of what trips the breaker."""

    def __init__(self) -> None:
        self.heat = WARM
        self._load = 0.0
        self._inherited = _Inherited()

    def advance(self, curve: Curve, *, load: float, dt_s: float) -> None:
        """Count `dt_s` seconds that end at `load`, a share of the budget.

        At the higher of the loads at both ends: nobody knows when within them it moved. Counted at the
        last one alone, a pulse that is braked at once counts for half of what it is, every time.
        """
        self.heat = _bounded(curve.heated(self.heat, load=max(self._load, load), dt_s=dt_s))
        self._load = load

    def learn(self, report: Report, domain: Domain, members: Roster, *, now: float, young: bool) -> None:
        """Take over what a report tells of an epoch before ours.

        While the coordinator is `young`, that is the heat; later it can only be more.
        """
        inherited = self._inherited if young else _Inherited()
        inherited.hear(report, domain.timings, now=now)
        if report.heat is None:
            return
        heat = inherited.heat(
            domain.curve,
            domain.timings,
            most_load=members.nameplate_watts / domain.budget_watts,
            load=members.hot_watts(now) / domain.budget_watts,
            now=now,
        )
        self.heat = heat if young else max(self.heat, heat)

    def settle(self, ceiling_heat: float) -> None:
        """All were heard: where a node was found armed and nobody told of heat, it may be at the ceiling."""
        if self._inherited.unknown:
            self.heat = max(self.heat, ceiling_heat)
            self._inherited = _Inherited()


class _Inherited:
    """What members told of earlier coordinators' counts."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._armed = False

    @property
    def unknown(self) -> bool:
        """Whether an armed node was found, and nobody told of heat."""
        return self._armed and not self._told

    def hear(self, report: Report, timings: Timings, *, now: float) -> None:
        """Take what a report tells of an epoch before ours; an age that isn't told is a whole lease."""
        self._armed |= report.armed
        if report.heat is not None:
            age_s = timings.lease_s if report.heat_age_s is None else max(0.0, report.heat_age_s)
            self._told[report.node] = _Told(_bounded(report.heat), now - age_s)

    def heat(self, curve: Curve, timings: Timings, *, most_load: float, load: float, now: float) -> float:
        """The heat now, if nobody has counted it since it was told.

        `most_load` is the row's draw without limits, `load` that at what is now known of its
        limits, both as a share of the budget. Of several tales the latest count, the highest of them.
        """
        newest_s = max(told.at_s for told in self._told.values())
        return max(
            _grown(told, curve, timings, most_load=most_load, load=load, now=now)
            for told in self._told.values()
            if told.at_s >= newest_s - timings.lease_s
        )


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
