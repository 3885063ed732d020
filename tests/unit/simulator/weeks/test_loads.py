"""What a load over weeks comes to, counted span by span, is what the plant's meter counts tick by tick."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats
from loadline_sim.plant.breaker_meters import BreakerMeter
from loadline_sim.weeks.loads import LoadCount

CURVE = Curve(points=((1.05, float("inf")), (1.2, 20.0), (1.5, 3.0)), cooling_s=50.0)


def counted(loads: Floats, *, spans: int = 1, tick_s: float = 1.0) -> LoadCount:
    """The count of loads that come in so many spans."""
    count = LoadCount(CURVE, tick_s)
    for part in np.array_split(loads, spans):
        count.count(part)
    return count


@given(
    loads=st.lists(st.floats(0.5, 1.5), min_size=1, max_size=200).map(np.array),
    spans=st.integers(1, 5),
    tick_s=st.sampled_from([0.025, 0.5, 1.0]),
)
def test_brakes_peaks_and_trips_are_those_of_the_meter(loads: Floats, spans: int, tick_s: float) -> None:
    meter = BreakerMeter(CURVE, budget_watts=1.0, tick_s=tick_s)
    for load in loads.tolist():
        meter.tick(load)
    count = counted(loads, spans=spans, tick_s=tick_s)
    assert (count.brakes, count.trips) == (meter.brakes, meter.trips)
    assert count.max_load == pytest.approx(meter.max_load, abs=1e-9)
    assert count.max_heat == pytest.approx(meter.max_heat, abs=1e-9)
    assert count.load_seconds == pytest.approx(float(loads.sum()) * tick_s)


def test_rises_are_between_means_over_two_seconds_and_within_forty() -> None:
    loads = np.repeat([0.5, 0.6, 0.65, 0.6, 0.9], [10, 10, 10, 60, 10])
    count = counted(loads)
    assert count.rise_2s == pytest.approx(0.3)
    assert count.rise_40s == pytest.approx(0.3)
    assert counted(loads[:30]).rise_40s == pytest.approx(0.15)


def test_percentiles_and_seconds_above_are_of_means_over_two_seconds() -> None:
    count = counted(np.repeat([0.5, 0.7, 0.95], [100, 98, 2]))
    assert count.p(50) == pytest.approx(0.5, abs=0.001)
    assert count.p(99) == pytest.approx(0.7, abs=0.001)
    assert count.seconds_above(0.9) == 2.0
    assert count.seconds_above(0.6) == 100.0


def test_a_load_beyond_all_bins_is_in_the_last() -> None:
    assert counted(np.full(4, 7.0)).p(50) == pytest.approx(2.0, abs=0.001)


def test_of_no_load_nothing_is_said() -> None:
    assert np.isnan(LoadCount(CURVE, 1.0).p(50))
