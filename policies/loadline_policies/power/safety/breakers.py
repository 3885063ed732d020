"""
When a breaker trips, and how near it is to doing so.

A breaker doesn't trip at a current but at a dose: the further above its rating,
the sooner. A curve says how many seconds each load is borne from cold. Heat is
the share of that dose already spent: it grows by dt ÷ t(load) above the curve's
first point, decays below it, and the breaker trips at 1. A breaker of unknown
past counts as warm, with half of its dose gone.

The coordinator calls this with sensor watts × gain, the plant with the truth.
Source: inverse-time curves as in IEC 60898-1; between two points the time is
log-log, beyond the last one the dose is constant I²t.
"""

import math
from dataclasses import dataclass

from loadline_policies.errors import InvalidDomain

WARM = 0.5
"""Heat of a breaker whose past is unknown."""

TRIP = 1.0
"""Heat at which a breaker opens."""

FOREVER = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How long each load is borne from cold.

    `points` are (load as a fraction of the rating, seconds), loads rising, seconds
    falling; the first point is borne for ever. `cooling_s` is the time constant with
    which heat decays below the first point.

    Raises InvalidDomain when the points are out of order.
    """

    points: tuple[tuple[float, float], ...] = ((1.05, FOREVER), (1.13, 3600.0), (1.30, 120.0), (1.60, 30.0))
    cooling_s: float = 600.0

    def __post_init__(self) -> None:
        if len(self.points) < 2 or self.points[0][1] != FOREVER:
            raise InvalidDomain(
                "breaker.curve", self.points, fix="give at least two points, the first one borne for ever"
            )
        for (load, seconds), (next_load, next_seconds) in zip(self.points, self.points[1:], strict=False):
            if not (0 < load < next_load and 0 < next_seconds < seconds):
                raise InvalidDomain(
                    "breaker.curve",
                    self.points,
                    fix="let the loads rise and the seconds fall from point to point",
                )
        if not self.cooling_s > 0:
            raise InvalidDomain(
                "breaker.coolingSeconds", self.cooling_s, fix="give a positive number of seconds"
            )

    @property
    def borne_load(self) -> float:
        """The load that is borne for ever, as a fraction of the rating."""
        return self.points[0][0]

    def trip_s(self, load: float) -> float:
        """Seconds until a cold breaker trips at a constant `load`; infinite where it never does."""
        if load <= self.borne_load:
            return FOREVER
        first_load, first_s = self.points[1]
        if load <= first_load:
            return first_s
        for (low, low_s), (high, high_s) in zip(self.points[1:], self.points[2:], strict=False):
            if load <= high:
                share = math.log(load / low) / math.log(high / low)
                return low_s * math.pow(high_s / low_s, share)
        last_load, last_s = self.points[-1]
        return last_s * (last_load / load) ** 2

    def heated(self, heat: float, *, load: float, dt_s: float) -> float:
        """Heat after `dt_s` seconds at `load`; not capped, so that 1 or more means tripped."""
        trip_s = self.trip_s(load)
        if trip_s == FOREVER:
            return heat * math.exp(-dt_s / self.cooling_s)
        return heat + dt_s / trip_s
