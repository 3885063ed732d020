"""
How long the row takes to answer, told by the plant and never by the agents.

The clock starts at the first tick at which the sum of the sensors stands above a
threshold whose answer isn't in force yet, and stops when it is in force on every
GPU that owes it. A dip below the threshold shorter than a second doesn't stop it,
or a noisy row would look quick; a longer one means that no answer was owed.
"""

from dataclasses import dataclass, field

import numpy as np

from loadline_sim.arrays import Floats

DIP_S = 1.0
"""A dip below a threshold that lasts longer ends what was owed. Chosen: the period of a report."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A load and what it asks for: a clock of low priority, or safe limits of everybody."""

    load: float
    low_clock_mhz: float | None = None
    limit_watts: float | None = None


@dataclass(frozen=True, slots=True)
class Reaction:
    """One answer: when the sensors crossed which load, and how long it took."""

    at_s: float
    load: float
    took_s: float


@dataclass(slots=True)
class _Owed:
    since_s: float
    last_above_s: float


@dataclass(slots=True)
class ReactionMeter:
    """Watches one row. `low` marks the servers of low priority, shape (servers,)."""

    low: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    reactions: list[Reaction] = field(default_factory=list)
    _owed: dict[Threshold, _Owed] = field(default_factory=dict)

    def tick(
        self,
        now_s: float,
        *,
        load: float,
        thresholds: tuple[Threshold, ...],
        locked_mhz: Floats,
        limit_watts: Floats,
    ) -> None:
        """Take one tick: the sensors' load, and each server's locked clock and lowest limit in force."""
        for threshold in thresholds:
            owed = self._owed.get(threshold)
            if load > threshold.load:
                owed = self._owed.setdefault(threshold, _Owed(now_s, now_s))
                owed.last_above_s = now_s
            if owed is None:
                continue
            if self._answered(threshold, locked_mhz=locked_mhz, limit_watts=limit_watts):
                self._close(threshold, owed, now_s=now_s)
            elif now_s - owed.last_above_s > DIP_S:
                del self._owed[threshold]

    def forget(self) -> None:
        """Nothing is owed: the row isn't enforced, or part of it can't be reached."""
        self._owed.clear()

    def _answered(self, threshold: Threshold, *, locked_mhz: Floats, limit_watts: Floats) -> bool:
        if threshold.low_clock_mhz is not None and locked_mhz[self.low].max() > threshold.low_clock_mhz:
            return False
        return threshold.limit_watts is None or limit_watts.max() <= threshold.limit_watts

    def _close(self, threshold: Threshold, owed: _Owed, *, now_s: float) -> None:
        del self._owed[threshold]
        if now_s > owed.since_s:
            self.reactions.append(Reaction(owed.since_s, threshold.load, now_s - owed.since_s))
