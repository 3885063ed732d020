"""How well a median of measured values is known."""

import random
import statistics
from collections.abc import Sequence

RESAMPLES, UPPER = 2_000, 0.975


def upper_end(values: Sequence[float]) -> float:
    """Upper end of the 95 % interval of the median, by a bootstrap of a fixed seed."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(UPPER * RESAMPLES)]
