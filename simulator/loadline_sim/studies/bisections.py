"""
Where the highest place lies at which something still holds, found by trying few of them.

Places are whole numbers, on a scale that the caller chooses: rates in equal ratios, or counts. From a first
guess the steps double until one place holds and one fails, and then what lies between is halved. What to try
next follows from what was tried alone, so a search that was stopped goes on from a file of outcomes.

Where holding isn't monotone, as random arrivals may have it, the answer is the highest place that holds below
the lowest that fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

FIRST_STEP: Final = 8
"""Places from the first guess to the second; chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """A search from `low` to `high`, both included, that begins at `start`, or at the nearer end."""

    low: int
    high: int
    start: int

    def next_place(self, held: Mapping[int, bool]) -> int | None:
        """The place to try next, None when the answer is known; `held` is by the places that were tried."""
        best, worst = self.found(held), self.failed(held)
        start = min(max(self.start, self.low), self.high)
        if best is None and worst is None:
            return start
        if worst is None:
            assert best is not None
            return None if best == self.high else min(self.high, best + max(FIRST_STEP, best - start))
        if best is None:
            return None if worst == self.low else max(self.low, worst - max(FIRST_STEP, start - worst))
        return None if worst - best <= 1 else (best + worst) // 2

    def found(self, held: Mapping[int, bool]) -> int | None:
        """The highest place that holds below all that fail; None if there is none so far."""
        worst = self.failed(held)
        return max(
            (place for place, ok in held.items() if ok and (worst is None or place < worst)), default=None
        )

    def failed(self, held: Mapping[int, bool]) -> int | None:
        """The lowest place that fails; None if there is none so far."""
        return min((place for place, ok in held.items() if not ok), default=None)


RATIO: Final = 1.01
"""Between two places on a scale of rates: what a rate is known to; chosen."""


def rate_of(place: int) -> float:
    """The rate of a place, in requests per second; that of place 0 is 1."""
    return float(RATIO**place)


def place_of(rate: float) -> int:
    """The place whose rate is nearest."""
    return round(log(rate) / log(RATIO))
