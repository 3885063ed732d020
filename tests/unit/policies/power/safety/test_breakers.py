"""A breaker trips by dose: closed forms of the curve, and what heat does between them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidDomain
from loadline_policies.power.safety.breakers import TRIP, WARM, Curve

ROW_A = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)), cooling_s=600.0)


def test_the_first_point_is_borne_for_ever() -> None:
    assert ROW_A.trip_s(1.05) == math.inf


def test_between_the_first_two_points_the_second_one_counts() -> None:
    assert ROW_A.trip_s(1.051) == ROW_A.trip_s(1.08) == 60.0


def test_between_points_time_is_log_log() -> None:
    middle = math.sqrt(1.08 * 1.30)
    assert ROW_A.trip_s(middle) == pytest.approx(math.sqrt(60.0 * 40.0))


def test_beyond_the_last_point_the_dose_is_constant() -> None:
    assert ROW_A.trip_s(2.6) == pytest.approx(40.0 / 4)


def test_the_demo_row_bears_its_maximum_warm_for_about_21_seconds() -> None:
    assert (1 - WARM) * ROW_A.trip_s(1.27) == pytest.approx(21.0, abs=0.2)


@given(st.floats(0.2, 3.0), st.floats(0.2, 3.0))
def test_a_higher_load_never_trips_later(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert Curve().trip_s(high) <= Curve().trip_s(low)


@given(st.floats(1.06, 2.0), st.integers(1, 400))
def test_a_constant_load_trips_exactly_at_its_time(load: float, steps: int) -> None:
    heat, dt_s = 0.0, ROW_A.trip_s(load) / steps
    for _ in range(steps):
        heat = ROW_A.heated(heat, load=load, dt_s=dt_s)
    assert heat == pytest.approx(TRIP)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.05), st.floats(0.0, 1e4))
def test_below_the_curve_heat_only_falls(heat: float, load: float, dt_s: float) -> None:
    assert 0.0 <= ROW_A.heated(heat, load=load, dt_s=dt_s) <= heat


@pytest.mark.parametrize(
    "points",
    [
        ((1.05, math.inf),),
        ((1.05, 60.0), (1.1, 50.0)),
        ((1.05, math.inf), (1.02, 50.0)),
        ((1.05, math.inf), (1.1, 50.0), (1.2, 50.0)),
        ((0.0, math.inf), (1.1, 50.0)),
    ],
    ids=["one point", "no end", "loads fall", "seconds stay", "no load"],
)
def test_a_curve_out_of_order_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(InvalidDomain, match=r"breaker\.curve"):
        Curve(points=points)


def test_a_breaker_that_never_cools_is_refused() -> None:
    with pytest.raises(InvalidDomain, match="coolingSeconds"):
        Curve(cooling_s=0.0)
