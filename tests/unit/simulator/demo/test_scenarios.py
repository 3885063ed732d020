"""The demo's row is what its figures say."""

import pytest

from loadline_policies.models import parameters
from loadline_sim.demo import replays, scenarios

MODEL = parameters.load()
SCENARIO = scenarios.load()


def test_forty_servers_peak_at_polca_s_share() -> None:
    assert SCENARIO.base_peak_load == pytest.approx(scenarios.PEAK_LOAD, abs=0.005)


def test_the_peak_lies_where_the_first_act_shows_it() -> None:
    requests = scenarios.arrivals_of(SCENARIO, scenarios.alternating(40), model=MODEL, stress=None)
    row = scenarios.plant_of(SCENARIO, requests, MODEL, servers=40)
    row.run_until(SCENARIO.base_peak_at_s + 2.0)
    assert row.breaker.max_load == pytest.approx(scenarios.PEAK_LOAD, abs=0.01)


@pytest.mark.slow
def test_fifty_two_uncapped_servers_brake_in_the_first_act_and_trip_in_the_stress() -> None:
    requests = scenarios.arrivals_of(SCENARIO, scenarios.alternating(52), model=MODEL, stress=SCENARIO.stress)
    row = scenarios.plant_of(SCENARIO, requests, MODEL)
    row.run_until(60.0)
    assert row.breaker.brakes >= 1
    row.run_until(SCENARIO.stress_start_s)
    assert row.breaker.trips == 0
    row.run_until(SCENARIO.stress_end_s)
    assert row.breaker.trips >= 1


@pytest.mark.slow
def test_a_little_less_stress_does_not_trip() -> None:
    assert not scenarios.trips_by_stress(SCENARIO, SCENARIO.stress_trips_at_rate * 0.9, model=MODEL)


def test_the_arithmetic_is_told_for_the_report() -> None:
    told = {figure.label: figure.value for figure in replays.arithmetic_of(SCENARIO)}
    assert told["power budget"] == pytest.approx(243.2)
    assert told["peak draw of 40 servers in these minutes (2 s mean), of the budget"] == pytest.approx(
        79.0, abs=0.5
    )
