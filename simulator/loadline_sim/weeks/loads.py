"""
What a row's load over weeks comes to: energy, peaks, rises, brakes and the breaker's heat.

Loads are fractions of the budget. Spans are counted as they come and nothing else is kept, so that weeks cost
no more memory than an hour. A brake is POLCA's: the mean over two seconds rises above the budget.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from loadline_policies.power.safety.breakers import TRIP, Curve
from loadline_sim.arrays import Floats, Ints
from loadline_sim.plant.breaker_meters import BRAKE_WINDOW_S

BIN: Final = 0.0005
BINS: Final = 4000
"""Means over two seconds are counted in bins of a twentieth of a percent, up to twice the budget."""

SLOW_S: Final = 40.0
"""POLCA's actuation through the BMC, over which it states the largest rise of its row."""


@dataclass(slots=True)
class LoadCount:
    """Counts of a row's load, in ticks of `tick_s`.

    `max_load` is the highest mean over two seconds, `rise_2s` the largest rise from one to the next, and
    `rise_40s` the largest within 40 s. `means` counts means over two seconds by their bins.
    """

    curve: Curve
    tick_s: float
    seconds: float = 0.0
    load_seconds: float = 0.0
    max_load: float = 0.0
    rise_2s: float = 0.0
    rise_40s: float = 0.0
    brakes: int = 0
    trips: int = 0
    heat: float = 0.0
    max_heat: float = 0.0
    means: Ints = field(default_factory=lambda: np.zeros(BINS, np.int64))
    _last: Floats = field(default_factory=lambda: np.zeros(0))
    _last_above: bool = False

    def count(self, loads: Floats) -> None:
        """Take the loads of the next ticks."""
        self.seconds += loads.size * self.tick_s
        self.load_seconds += float(loads.sum()) * self.tick_s
        self._count_means(loads)
        self._heat(loads)

    def p(self, percent: float) -> float:
        """The load that so many percent of the means over two seconds don't exceed; NaN of none."""
        ends = np.cumsum(self.means)
        if not ends[-1]:
            return float("nan")
        return float((np.searchsorted(ends, percent / 100 * ends[-1]) + 0.5) * BIN)

    def seconds_above(self, load: float) -> float:
        """Seconds in means over two seconds above a load, to a bin."""
        return float(self.means[round(load / BIN) :].sum() * BRAKE_WINDOW_S)

    def _count_means(self, loads: Floats) -> None:
        window = round(BRAKE_WINDOW_S / self.tick_s)
        joined = np.concatenate([self._last, loads])
        sums = np.concatenate([[0.0], np.cumsum(joined)])
        moving = (sums[window:] - sums[:-window]) / window
        self._last = joined[1 - window :]
        if not moving.size:
            return
        self.max_load = max(self.max_load, float(moving.max()))
        above = moving > 1.0
        self.brakes += int((above & ~np.concatenate([[self._last_above], above[:-1]])).sum())
        self._last_above = bool(above[-1])
        apart = loads[: loads.size // window * window].reshape(-1, window).mean(axis=1)
        np.add.at(self.means, np.minimum((apart / BIN).astype(np.int64), BINS - 1), 1)
        self._count_rises(apart)

    def _count_rises(self, apart: Floats) -> None:
        """Rises between means over two seconds that don't overlap."""
        if apart.size > 1:
            self.rise_2s = max(self.rise_2s, float(np.diff(apart).max()))
        steps = round(SLOW_S / BRAKE_WINDOW_S)
        for step in range(1, min(steps, apart.size - 1) + 1):
            self.rise_40s = max(self.rise_40s, float((apart[step:] - apart[:-step]).max()))

    def _heat(self, loads: Floats) -> None:
        """Heat grows in ticks above what is borne for ever, and decays between them."""
        before = -1
        for tick in np.flatnonzero(loads > self.curve.borne_load).tolist():
            self._cool(tick - before - 1)
            self.heat = self.curve.heated(self.heat, load=float(loads[tick]), dt_s=self.tick_s)
            self.max_heat = max(self.max_heat, self.heat)
            if self.heat >= TRIP:
                self.trips += 1
                self.heat = 0.0
            before = tick
        self._cool(loads.size - before - 1)

    def _cool(self, ticks: int) -> None:
        self.heat = self.curve.heated(self.heat, load=0.0, dt_s=ticks * self.tick_s)
