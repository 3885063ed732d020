"""
The rate at which arms are judged: the lowest at which the objectives are met too seldom.

It is looked for on a grid whose neighbours differ by `STEP`, since at an exact rate the share would be 90 %
and no arm could be more than a ninth better. Attainment is taken to fall with the rate; where it doesn't,
the rate found is one at which it crosses the line, and a lower one may exist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LEAST_ATTAINED: Final = 0.9
STEP: Final = 1.05
STRIDE: Final = 4
"""Grid points that the search goes at a time until the line lies between two of them."""

MOST_STRIDES: Final = 12


class NoKnee(Exception):
    """The objectives are met, or missed, at all rates that were tried."""


@dataclass(frozen=True, slots=True)
class Knee:
    """The rate, and what was attained at each that was tried."""

    rate: float
    tried: tuple[tuple[float, float], ...]


def knee(attained: Callable[[float], float], *, begin: float) -> Knee:
    """The first rate of the grid through `begin` at which less than `LEAST_ATTAINED` is attained."""
    tried: dict[int, float] = {}

    def misses(place: int) -> bool:
        tried[place] = attained(begin * STEP**place)
        return tried[place] < LEAST_ATTAINED

    met, missed = _between(misses)
    while missed - met > 1:
        middle = (met + missed) // 2
        if misses(middle):
            missed = middle
        else:
            met = middle
    return Knee(begin * STEP**missed, tuple((begin * STEP**place, tried[place]) for place in sorted(tried)))


def _between(misses: Callable[[int], bool]) -> tuple[int, int]:
    """Two places of the grid, one that meets the objectives and a higher one that misses them."""
    place, missed = 0, misses(0)
    step = -STRIDE if missed else STRIDE
    for _ in range(MOST_STRIDES):
        if misses(place + step) != missed:
            return (place + step, place) if missed else (place, place + step)
        place += step
    raise NoKnee(f"objectives are {'missed' if missed else 'met'} at all rates that were tried")
