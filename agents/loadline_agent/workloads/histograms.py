"""
Percentiles of what happened lately, from counters that only ever grow.

An engine counts its latencies into buckets since it started. What matters is the last
minute: the difference of two looks, summed over engines. A counter that has fallen
belongs to an engine that was restarted, so all that it shows is new. Engines may cut
their buckets differently; what they can be summed by is the bounds that all have, at
which cumulative counts are exact.

A percentile is known as far as the bucket that it lies in. `Quantile` says so, and
whoever compares it with an objective must not pretend to know more.

Pure: the times are the caller's.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from loadline_policies.errors import InvalidInput

INFINITE = math.inf

LEAST_S, MOST_S = 60.0, 300.0
"""How far back a window reaches: a minute, or up to five where a minute has too few samples. Chosen."""

SLICE_S = 10.0
"""Looks closer together than this are kept as one, so a minute may be so much shorter. Chosen."""

STALE_S = 30.0
"""Without a look for so long nothing is known any more. Chosen: six looks that failed."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of samples at or below each bound; bounds ascend to infinity, counts never fall."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """All samples."""
        return self.counts[-1]


@dataclass(frozen=True, slots=True)
class Quantile:
    """Where a percentile lies: above `low` and at most `high`; `estimate` is linear between them."""

    low: float
    high: float
    estimate: float


def histogram_of(counts: Mapping[float, float]) -> Histogram:
    """A histogram of counts by bound; InvalidInput if they aren't those of one."""
    bounds = tuple(sorted(counts))
    rising = tuple(counts[bound] for bound in bounds)
    usual = all(math.isfinite(count) and count >= 0 for count in rising) and rising == tuple(sorted(rising))
    if not bounds or bounds[-1] != INFINITE or not usual:
        raise InvalidInput("buckets", dict(counts), fix="give cumulative counts up to le=+Inf")
    return Histogram(bounds, rising)


def increase(before: Histogram, now: Histogram) -> Histogram:
    """What was counted between two looks; all of `now` if the counters began anew."""
    added = tuple(new - old for new, old in zip(now.counts, before.counts, strict=False))
    begun_anew = before.bounds != now.bounds or any(count < 0 for count in added)
    if begun_anew or added != tuple(sorted(added)):
        return now
    return Histogram(now.bounds, added)


def together(one: Histogram, other: Histogram) -> Histogram:
    """The samples of both, at the bounds that both have."""
    if one.bounds == other.bounds:
        return Histogram(one.bounds, tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)))
    there = dict(zip(other.bounds, other.counts, strict=True))
    shared = {
        bound: count + there[bound]
        for bound, count in zip(one.bounds, one.counts, strict=True)
        if bound in there
    }
    return Histogram(tuple(shared), tuple(shared.values()))


def quantile(histogram: Histogram, percentile: float) -> Quantile:
    """Where the percentile of at least one sample lies."""
    rank = percentile * histogram.total / 100
    at = bisect_left(histogram.counts, rank)
    low, below = (histogram.bounds[at - 1], histogram.counts[at - 1]) if at else (0.0, 0.0)
    high, inside = histogram.bounds[at], histogram.counts[at] - below
    if high == INFINITE:
        return Quantile(low, high, low)
    return Quantile(low, high, min(high, low + (high - low) * (rank - below) / inside))


class Window:
    """What was counted lately; `add` what each look brought, in the order of time."""

    def __init__(self) -> None:
        self._slices: deque[tuple[float, Histogram]] = deque()
        self._looked_s = -INFINITE

    def add(self, counted: Histogram, now: float) -> None:
        """Take what was counted up to `now`."""
        self._looked_s = now
        if self._slices and now - self._slices[-1][0] < SLICE_S:
            began_s, before = self._slices[-1]
            self._slices[-1] = began_s, together(before, counted)
        else:
            self._slices.append((now, counted))
        while now - self._slices[0][0] > MOST_S:
            self._slices.popleft()

    def recent(self, now: float, samples: float) -> Histogram | None:
        """The last minute, or as much more as it takes to have so many samples; None if nobody looked."""
        if now - self._looked_s > STALE_S:
            return None
        found: Histogram | None = None
        for began_s, counted in reversed(self._slices):
            age_s = now - began_s
            if age_s > MOST_S or (found is not None and age_s > LEAST_S and found.total >= samples):
                break
            found = counted if found is None else together(found, counted)
        return found
