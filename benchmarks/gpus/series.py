"""
What a series of readings says of the sensor behind it.

A sensor that is read more often than it looks repeats itself; where it is read much more
often, the times of its changes are the times of its looks. A counter of energy tells mean
watts between two of its steps. Nothing here knows a driver.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.gpus.traces import Floats

_LIKE_THE_MEDIAN = 0.25
"""How far an interval may be from the median and still be one period: two in one are 100 % off."""


class Points(NamedTuple):
    """Values and since when each is known; `from_s` is where its window began, if it has one."""

    t_s: Floats
    values: Floats
    from_s: Floats


def repeat_share(values: Floats) -> float:
    """The share of readings that equal the one before."""
    if len(values) < 2:
        raise ValueError(f"readings are {len(values)}: it takes two to repeat")
    return float(np.mean(values[1:] == values[:-1]))


def longest_repeat_s(t_s: Floats, values: Floats) -> float:
    """How long the readings stayed the same at most."""
    starts = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))
    ends = np.concatenate((starts[1:] - 1, [len(values) - 1]))
    return float(np.max(t_s[ends] - t_s[starts]))


def changes(t_s: Floats, values: Floats) -> Points:
    """The readings that differ from the one before, when they were first seen; NaN is no reading."""
    known = ~np.isnan(values)
    t_s, values = t_s[known], values[known]
    new = np.flatnonzero(values[1:] != values[:-1]) + 1
    return Points(t_s[new], values[new], t_s[new])


def period_s(points: Points) -> float | None:
    """How often a sensor looks, from its changes; None if it hardly changed.

    The mean of the intervals that are like their median: a look that shows the same
    value again is no change, and doubles an interval.
    """
    intervals = np.diff(points.t_s)
    if len(intervals) < 5:
        return None
    median = float(np.median(intervals))
    alike = intervals[np.abs(intervals - median) <= _LIKE_THE_MEDIAN * median]
    return float(np.mean(alike))


def rates(t_s: Floats, energy_j: Floats) -> Points:
    """Mean watts between one step of an energy counter and the next."""
    steps = changes(t_s, energy_j)
    return Points(
        steps.t_s[1:],
        np.diff(steps.values) / np.diff(steps.t_s),
        steps.t_s[:-1],
    )


def mean_watts(t_s: Floats, energy_j: Floats) -> float | None:
    """ΔE ÷ Δt over the whole series, from the first step of the counter to the last."""
    steps = changes(t_s, energy_j)
    if len(steps.t_s) < 2:
        return None
    return float((steps.values[-1] - steps.values[0]) / (steps.t_s[-1] - steps.t_s[0]))
