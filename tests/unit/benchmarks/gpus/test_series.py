"""What readings say of the sensor behind them: repeats, its period, an energy counter's watts."""

import numpy as np
import pytest

from benchmarks.gpus import series
from benchmarks.gpus.traces import Floats

GLANCE_S = 0.005


def glanced(seconds: float, period_s: float) -> tuple[Floats, Floats]:
    """Times of glances, and the number of the look that each of them shows."""
    t_s = np.arange(0.0, seconds, GLANCE_S)
    return t_s, np.floor((t_s + 1e-9) / period_s)


def test_a_sensor_that_moves_never_repeats() -> None:
    assert series.repeat_share(np.arange(10.0)) == 0.0


def test_a_sensor_that_stands_repeats_always() -> None:
    assert series.repeat_share(np.full(10, 63.0)) == 1.0


def test_ten_looks_a_second_read_at_20_hz_repeat_every_other_time() -> None:
    assert series.repeat_share(np.repeat(np.arange(50.0), 2)) == pytest.approx(0.5, abs=0.01)


def test_one_reading_has_no_share() -> None:
    with pytest.raises(ValueError, match="two to repeat"):
        series.repeat_share(np.array([1.0]))


def test_the_longest_repeat_is_from_its_first_reading_to_its_last() -> None:
    t_s = np.arange(6.0)
    assert series.longest_repeat_s(t_s, np.array([1.0, 2.0, 2.0, 2.0, 1.0, 1.0])) == 2.0
    assert series.longest_repeat_s(t_s, np.arange(6.0)) == 0.0
    assert series.longest_repeat_s(t_s, np.full(6, 7.0)) == 5.0


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.5])
def test_the_period_is_that_of_the_changes(period_s: float) -> None:
    found_s = series.period_s(series.changes(*glanced(10.0, period_s)))
    assert found_s == pytest.approx(period_s, rel=0.02)


def test_a_look_that_shows_the_same_again_is_no_longer_period() -> None:
    t_s, values = glanced(10.0, 0.1)
    values[values % 7 == 3] = 2.0 + 7 * (values[values % 7 == 3] // 7)
    assert series.period_s(series.changes(t_s, values)) == pytest.approx(0.1, rel=0.02)


def test_a_sensor_that_hardly_changes_has_no_period() -> None:
    assert series.period_s(series.changes(*glanced(1.0, 0.4))) is None


def test_a_field_that_the_gpu_lacks_never_changes() -> None:
    t_s = np.arange(0.0, 1.0, GLANCE_S)
    assert len(series.changes(t_s, np.full(len(t_s), np.nan)).t_s) == 0


def test_an_energy_counter_tells_the_mean_between_its_steps() -> None:
    t_s, looks = glanced(10.0, 0.1)
    points = series.rates(t_s, looks * 0.1 * 300.0)
    assert points.values == pytest.approx(np.full(len(points.values), 300.0), rel=0.06)
    assert points.t_s - points.from_s == pytest.approx(np.full(len(points.t_s), 0.1), abs=0.006)


def test_the_mean_over_a_run_is_from_step_to_step_of_the_counter() -> None:
    t_s, looks = glanced(10.0, 0.1)
    assert series.mean_watts(t_s, looks * 0.1 * 300.0) == pytest.approx(300.0, rel=0.002)
    assert series.mean_watts(t_s, np.zeros(len(t_s))) is None
