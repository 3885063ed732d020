"""Brakes, trips and heat against closed forms."""

import math

import pytest

from loadline_policies.power.safety.breakers import Curve
from loadline_sim.plant.breaker_meters import BreakerMeter

TICK_S = 0.025
CURVE = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)), cooling_s=600.0)


def after(*loads_and_seconds: tuple[float, float]) -> BreakerMeter:
    """A breaker that has lived through these loads, each for so many seconds."""
    breaker = BreakerMeter(CURVE, budget_watts=1000.0, tick_s=TICK_S)
    for load, seconds in loads_and_seconds:
        for _ in range(round(seconds / TICK_S)):
            breaker.tick(load * 1000.0)
    return breaker


def test_a_constant_overload_trips_at_the_curve_s_time() -> None:
    assert after((1.30, 39.9)).trips == 0
    assert after((1.30, 40.1)).trips == 1


def test_heat_is_the_share_of_the_dose() -> None:
    assert after((1.08, 30.0)).heat == pytest.approx(0.5, rel=1e-3)


def test_heat_leaks_away_below_the_curve() -> None:
    assert after((1.08, 30.0), (0.9, 600.0)).heat == pytest.approx(0.5 / math.e, rel=1e-3)


def test_what_is_borne_for_ever_never_trips() -> None:
    breaker = after((1.05, 300.0))
    assert (breaker.trips, breaker.heat) == (0, 0.0)


def test_seconds_above_count_every_tick() -> None:
    breaker = after((0.9, 5.0), (1.01, 1.0), (0.9, 5.0), (1.01, 0.5))
    assert breaker.seconds_above == pytest.approx(1.5)
    assert breaker.excursions == 2


def test_a_spike_shorter_than_two_seconds_is_no_brake() -> None:
    assert after((0.9, 5.0), (1.05, 1.0), (0.9, 5.0)).brakes == 0


def test_one_long_excursion_is_one_brake() -> None:
    assert after((0.9, 5.0), (1.02, 10.0), (0.9, 5.0), (1.02, 10.0)).brakes == 2


def test_a_trip_leaves_the_run_going() -> None:
    breaker = after((1.30, 100.0))
    assert breaker.trips == 2
    assert breaker.heat < 1.0


def test_a_reset_forgets_the_counts_only() -> None:
    breaker = after((1.08, 30.0))
    breaker.reset()
    assert (breaker.brakes, breaker.excursions, breaker.seconds_above) == (0, 0, 0.0)
    assert breaker.heat == pytest.approx(0.5, rel=1e-3)
