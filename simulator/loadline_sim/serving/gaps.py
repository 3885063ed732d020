"""
Times between tokens, of all tokens of a simulation, without a number for each.

A step in which so many requests decode ends so many of these times, all of them as long as the step. They are
counted in bins of a half percent, so a run of a thousand steps costs as much as one, and quantiles are exact
to that. The wait of a request that was preempted isn't in them: it is in its time to the last token.
"""

from typing import Final

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.compiled import compiled

LEAST_S: Final = 1e-5
WIDTH: Final = 0.005
BINS: Final = 4096
"""From ten microseconds to some two hours."""


def no_gaps() -> Ints:
    """Counts of no time at all."""
    return np.zeros(BINS, np.int64)


@compiled
def count(gaps: Ints, seconds: float, times: int) -> None:
    """Count a time so many times; a shorter or longer one than there are bins for in the first or last of
    them."""
    place = int(np.log(max(seconds, LEAST_S) / LEAST_S) / WIDTH)
    gaps[min(place, gaps.size - 1)] += times


def counted(seconds: Floats) -> Ints:
    """Counts of these times, each of them once."""
    places = (np.log(np.maximum(seconds, LEAST_S) / LEAST_S) / WIDTH).astype(np.int64)
    found: Ints = np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
    return found


def quantiles(gaps: Ints, shares: Floats) -> Floats:
    """The times that these shares of all don't exceed, in seconds; NaN where there is none."""
    ends = np.cumsum(gaps)
    if not ends[-1]:
        return np.full(shares.size, np.nan)
    places = np.searchsorted(ends, shares * ends[-1])
    found: Floats = LEAST_S * np.exp((places + 0.5) * WIDTH)
    return found
