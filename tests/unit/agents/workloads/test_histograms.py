"""Percentiles of what happened lately."""

import math
from bisect import bisect_left
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.histograms import (
    LEAST_S,
    MOST_S,
    SLICE_S,
    STALE_S,
    Histogram,
    Window,
    histogram_of,
    increase,
    quantile,
    together,
)
from loadline_policies.errors import InvalidInput

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, math.inf)

latencies = st.lists(st.floats(0.0, 5.0), max_size=60)
some_latencies = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60)
some_bounds = st.lists(st.sampled_from(BOUNDS[:-1]), unique=True).map(
    lambda found: (*sorted(found), math.inf)
)


def counted(samples: Sequence[float], bounds: Sequence[float] = BOUNDS) -> Histogram:
    return histogram_of({bound: float(sum(one <= bound for one in samples)) for bound in bounds})


def at(samples: Sequence[float], percentile: float) -> float:
    """The sample at a percentile, by the nearest rank."""
    return sorted(samples)[math.ceil(percentile / 100 * len(samples)) - 1]


@given(some_latencies, some_bounds, st.integers(50, 99))
def test_a_percentile_lies_in_the_bucket_that_is_named(
    samples: list[float], bounds: tuple[float, ...], percentile: int
) -> None:
    found = quantile(counted(samples, bounds), percentile)
    exact = at(samples, percentile)
    assert found.low <= exact <= found.high
    assert bounds[bisect_left(bounds, exact)] == found.high
    assert found.low <= found.estimate <= found.high


def test_an_estimate_is_linear_inside_of_a_bucket() -> None:
    assert quantile(counted([0.05] * 50 + [0.2] * 50), 75).estimate == pytest.approx(0.175)


def test_above_the_last_bucket_nothing_more_is_known() -> None:
    found = quantile(counted([9.0]), 99)
    assert (found.low, found.high, found.estimate) == (2.5, math.inf, 2.5)


@given(latencies, latencies)
def test_an_increase_is_what_came_since(before: list[float], since: list[float]) -> None:
    assert increase(counted(before), counted(before + since)) == counted(since)


@given(some_latencies, latencies)
def test_after_a_restart_all_that_is_shown_is_new_or_no_more_than_that(
    before: list[float], since: list[float]
) -> None:
    found = increase(counted(before), counted(since))
    assert found.total <= len(since)
    if len(since) < len(before):
        assert found == counted(since)


def test_other_buckets_are_another_engine() -> None:
    assert increase(counted([0.2]), counted([0.2, 0.3], (1.0, math.inf))) == counted(
        [0.2, 0.3], (1.0, math.inf)
    )


@given(latencies, latencies, some_bounds, some_bounds)
def test_engines_are_summed_at_the_bounds_that_all_have(
    one: list[float], other: list[float], bounds: tuple[float, ...], others: tuple[float, ...]
) -> None:
    shared = tuple(sorted(set(bounds) & set(others)))
    assert together(counted(one, bounds), counted(other, others)) == counted(one + other, shared)


@pytest.mark.parametrize(
    "counts",
    [{}, {1.0: 1.0}, {1.0: 2.0, math.inf: 1.0}, {math.inf: math.nan}, {1.0: -1.0, math.inf: 1.0}],
    ids=["empty", "no-end", "falling", "nan", "negative"],
)
def test_counts_that_are_no_histogram_are_refused(counts: dict[float, float]) -> None:
    with pytest.raises(InvalidInput, match="buckets"):
        histogram_of(counts)


def total(window: Window, now: float, samples: float = 1.0) -> float | None:
    found = window.recent(now, samples)
    return found.total if found is not None else None


def filled(every_s: float, until_s: float, size: int = 1) -> Window:
    window = Window()
    for look in range(int(until_s / every_s) + 1):
        window.add(counted([0.2] * size), look * every_s)
    return window


def test_a_window_nobody_has_looked_into_knows_nothing() -> None:
    assert total(Window(), 0.0) is None


def test_a_window_holds_a_minute() -> None:
    assert total(filled(5.0, 600.0), 600.0, samples=12.0) == pytest.approx(LEAST_S / 5.0, abs=2.0)


def test_a_window_reaches_further_back_for_samples_that_are_few() -> None:
    assert total(filled(5.0, 600.0), 600.0, samples=40.0) == pytest.approx(40.0, abs=2.0)
    assert total(filled(5.0, 600.0), 600.0, samples=1e9) == pytest.approx(MOST_S / 5.0, abs=2.0)


def test_silence_is_known_as_such_and_no_look_is_not() -> None:
    window = Window()
    window.add(counted([]), 0.0)
    assert total(window, 1.0) == 0.0
    assert total(window, STALE_S + 1.0) is None


@given(st.lists(st.tuples(st.floats(0.0, 40.0), latencies), min_size=1, max_size=80), st.floats(1.0, 100.0))
def test_no_sample_is_counted_twice_and_a_window_stays_small(
    looks: list[tuple[float, list[float]]], samples: float
) -> None:
    window, now, brought = Window(), 0.0, []
    for pause_s, seen in looks:
        now += pause_s
        window.add(counted(seen), now)
        brought.append((now, seen))
    found = window.recent(now, samples)
    assert found is not None
    assert found.total <= sum(len(seen) for at_s, seen in brought if now - at_s <= MOST_S)
    assert found.total >= sum(len(seen) for at_s, seen in brought if now - at_s <= LEAST_S - SLICE_S)
    assert len(window._slices) <= MOST_S / SLICE_S + 2
