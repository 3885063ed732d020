"""
What the row's breaker lives through, from the true watts.

Two things are counted apart. A *brake* is POLCA's criterion: the mean over two seconds
rises above the budget; it counts again only after the mean was back below. A *trip* is
the breaker's own: its heat, integrated along the curve, reaches one; the plant goes on
so that the rest of the run can be seen, and the heat starts again from zero.

Nothing here believes a sensor; that is the coordinator's lot.
"""

from collections import deque

from loadline_policies.power.safety.breakers import TRIP, Curve

BRAKE_WINDOW_S = 2.0
"""POLCA's telemetry: a row's load is a mean over two seconds."""


class BreakerMeter:
    """Heat, brakes, trips and time above the budget of one row.

    `seconds_above` counts ticks whose own mean is above the budget, `excursions` their
    uninterrupted stretches; both are finer than a brake. `max_load` is the highest mean
    over two seconds, `max_heat` the highest heat, both since `reset`.
    """

    def __init__(self, curve: Curve, *, budget_watts: float, tick_s: float) -> None:
        self.curve, self.budget_watts, self.tick_s = curve, budget_watts, tick_s
        self._window = max(round(BRAKE_WINDOW_S / tick_s), 1)
        self._loads: deque[float] = deque()
        self._sum = 0.0
        self._above = self._braking = False
        self.load = self.mean_load = self.heat = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget what was counted, not what is under way."""
        self.max_load = self.mean_load
        self.max_heat = self.heat
        self.brakes = self.trips = self.excursions = 0
        self.seconds_above = 0.0

    def tick(self, row_watts: float) -> None:
        """One tick at the row's true watts."""
        self.load = row_watts / self.budget_watts
        self._count_excursions()
        self._count_brakes()
        self.heat = self.curve.heated(self.heat, load=self.load, dt_s=self.tick_s)
        self.max_heat = max(self.max_heat, self.heat)
        if self.heat >= TRIP:
            self.trips += 1
            self.heat = 0.0

    def _count_excursions(self) -> None:
        above = self.load > 1.0
        self.seconds_above += self.tick_s * above
        self.excursions += above and not self._above
        self._above = above

    def _count_brakes(self) -> None:
        self._loads.append(self.load)
        self._sum += self.load
        if len(self._loads) > self._window:
            self._sum -= self._loads.popleft()
        full = len(self._loads) == self._window
        self.mean_load = self._sum / len(self._loads)
        if full:
            self.max_load = max(self.max_load, self.mean_load)
        braking = full and self.mean_load > 1.0
        self.brakes += braking and not self._braking
        self._braking = braking
