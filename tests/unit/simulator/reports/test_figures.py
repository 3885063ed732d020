"""Figures from small series: excursions, brakes, trips, ratios."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats
from loadline_sim.reports import figures

CURVE = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)))


def ticks(count: int, step_s: float = 0.5) -> Floats:
    return np.linspace(step_s, count * step_s, count)


def watts(*loads: float, each: int = 1) -> Floats:
    return np.repeat(np.array(loads), each) * 100.0


def test_an_excursion_begins_with_its_first_step_and_ends_with_its_last() -> None:
    (one,) = figures.excursions(ticks(5), watts(0.9, 1.1, 1.2, 0.9, 0.9), level=100.0)
    assert (one.start_s, one.end_s, one.duration_s, one.peak) == (0.5, 1.5, 1.0, 120.0)


def test_an_excursion_may_touch_both_ends() -> None:
    first, last = figures.excursions(ticks(4), watts(1.1, 0.9, 0.9, 1.1), level=100.0)
    assert (first.start_s, first.end_s, last.start_s, last.end_s) == (0.0, 0.5, 1.5, 2.0)


def test_a_row_at_its_budget_is_not_above_it() -> None:
    assert figures.excursions(ticks(3), watts(1.0, 1.0, 1.0), level=100.0) == ()


@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(50.0, 150.0)))
def test_excursions_add_up_to_the_seconds_above(values: Floats) -> None:
    t_s = ticks(values.size)
    total_s = sum(one.duration_s for one in figures.excursions(t_s, values, level=100.0))
    assert total_s == pytest.approx(figures.seconds_above(t_s, values, level=100.0))


def test_a_brake_is_a_two_second_mean_above_the_budget() -> None:
    calm = figures.strain(
        ticks(12), watts(0.9, 1.3, 0.9, each=4)[:12] * 0.9, budget_watts=100.0, curve=CURVE, span=(0.0, 6.0)
    )
    braked = figures.strain(
        ticks(12), watts(0.9, 1.3, 0.9, each=4), budget_watts=100.0, curve=CURVE, span=(0.0, 6.0)
    )
    assert (calm.brakes, braked.brakes) == (1, 1)
    assert braked.max_load == pytest.approx(1.3)
    assert braked.seconds_above == pytest.approx(2.0)


def test_a_short_spike_is_above_the_budget_without_being_a_brake() -> None:
    spike = watts(0.9, 0.9, 0.9, 0.9, 1.1, 0.9, 0.9, 0.9)
    strain = figures.strain(ticks(8), spike, budget_watts=100.0, curve=CURVE, span=(0.0, 4.0))
    assert (strain.brakes, strain.seconds_above) == (0, 0.5)


def test_a_row_at_130_percent_trips_after_the_curves_40_seconds() -> None:
    row = watts(1.3, each=100)
    strain = figures.strain(ticks(100), row, budget_watts=100.0, curve=CURVE, span=(0.0, 39.0))
    assert strain.trips == 0
    assert strain.max_heat == pytest.approx(39 / 40)
    strain = figures.strain(ticks(100), row, budget_watts=100.0, curve=CURVE, span=(0.0, 50.0))
    assert strain.trips == 1


def test_a_warm_breaker_trips_in_half_the_time() -> None:
    strain = figures.strain(
        ticks(60), watts(1.3, each=60), budget_watts=100.0, curve=CURVE, span=(0.0, 21.0), heat=0.5
    )
    assert strain.trips == 1


def test_a_request_that_lives_in_a_span_is_touched_by_it() -> None:
    arrival_s = np.array([0.0, 0.0, 15.0, 21.0, 1.0])
    latency_s = np.array([5.0, 12.0, 1.0, 1.0, np.nan])
    assert figures.untouched(arrival_s, latency_s, spans=[(10.0, 20.0)]).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_ratios_are_of_percentiles_not_of_requests() -> None:
    uncapped_s = np.arange(1.0, 101.0)
    slow = figures.slowdown(uncapped_s * np.where(uncapped_s > 90, 1.5, 1.0), uncapped_s)
    assert slow.p50_ratio == 1.0
    assert slow.p99_ratio == pytest.approx(1.5)


def test_an_unfinished_request_counts_in_neither_run() -> None:
    slow = figures.slowdown(np.array([1.0, np.nan, 3.0]), np.array([1.0, 2.0, np.nan]))
    assert (slow.requests, slow.p50_ratio) == (1, 1.0)


def test_no_requests_have_no_ratio() -> None:
    assert math.isnan(figures.slowdown(np.array([]), np.array([])).p99_ratio)


@given(
    arrays(np.float64, st.integers(1, 50), elements=st.floats(0.01, 100.0)),
    st.floats(0.5, 3.0),
)
def test_a_row_that_is_evenly_slower_is_so_at_every_quantile(uncapped_s: Floats, factor: float) -> None:
    ratios = figures.quantile_ratios(
        uncapped_s * factor, uncapped_s=uncapped_s, quantiles=np.linspace(0, 1, 11)
    )
    assert ratios == pytest.approx(np.full(11, factor))


@given(arrays(np.float64, st.integers(300, 900), elements=st.floats(0.0, 1.0)), st.integers(5, 40))
def test_thinning_keeps_the_highest_and_the_lowest(values: Floats, buckets: int) -> None:
    t_s, kept = figures.thinned(ticks(values.size), values, buckets=buckets)
    assert (kept.max(), kept.min()) == (values.max(), values.min())
    assert kept.size <= 2 * buckets
    assert np.all(np.diff(t_s) >= 0)
