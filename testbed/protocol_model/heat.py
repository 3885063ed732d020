"""
How hot a breaker is, by I²t: heat grows by dt ÷ t(load), cools below the first point, trips at 1.

The same curve judges the truth (the oracle) and what the leader counts.

Source: inverse-time curves as in IEC 60898-1; between two points the time is log-log, beyond the
last one the dose is constant I²t.
"""

import math
from dataclasses import dataclass

WARM = 0.5
TRIP = 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds until a cold breaker trips, by load as a fraction of its rating."""

    points: tuple[tuple[float, float], ...] = ((1.05, math.inf), (1.13, 3600.0), (1.30, 120.0), (1.60, 30.0))
    cooling_s: float = 600.0

    @property
    def borne_load(self) -> float:
        """The load that is borne for ever, as a fraction of the rating."""
        return self.points[0][0]

    def trip_s(self, load: float) -> float:
        """Seconds until a cold breaker trips at this load; infinite where it never does."""
        if load <= self.borne_load:
            return math.inf
        if load <= self.points[1][0]:
            return self.points[1][1]
        for (low, low_s), (high, high_s) in zip(self.points[1:], self.points[2:], strict=False):
            if load <= high:
                share = math.log(load / low) / math.log(high / low)
                return float(low_s * (high_s / low_s) ** share)
        last, last_s = self.points[-1]
        return last_s * (last / load) ** 2

    def heated(self, heat: float, *, load: float, dt_s: float = 1.0) -> float:
        """Heat after `dt_s` seconds at this load."""
        trip_s = self.trip_s(load)
        if trip_s == math.inf:
            return heat * math.exp(-dt_s / self.cooling_s)
        return heat + dt_s / trip_s

    def ceiling(self, load: float, *, reaction_s: float) -> float:
        """The heat from which one reaction at `load`, and a fifth, still doesn't trip."""
        return 1.0 - 1.2 * reaction_s / self.trip_s(load)
