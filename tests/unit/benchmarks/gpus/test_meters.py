"""Which meter would have shown what was read, while load blinked."""

import numpy as np
import pytest

from benchmarks.gpus import loads, meters, series
from benchmarks.gpus.series import Points
from benchmarks.gpus.traces import Floats, Spans

WINDOWS_S = tuple(step * 0.005 for step in range(1, 51))
DELAYS_S = tuple(step * 0.005 for step in range(31))


def blinks(seconds: float = 30.0, seed: int = 7) -> Spans:
    """Spans of load as a timetable asks for them."""
    now, on = 0.0, []
    for pause_s, load_s in loads.blinking(seconds, seed):
        on.append((now + pause_s, now + pause_s + load_s))
        now = on[-1][1]
    return tuple(on)


def shown(on: Spans, *, window_s: float, period_s: float, delay_s: float) -> Points:
    """What a meter of 100 to 700 W shows of them, with 2 W of noise."""
    looks_s: Floats = np.arange(window_s, on[-1][1], period_s)
    watts = 100.0 + 600.0 * meters.on_share(on, from_s=looks_s - window_s, to_s=looks_s)
    watts += np.random.default_rng(3).normal(0.0, 2.0, len(watts))
    return Points(looks_s + delay_s, watts, looks_s + delay_s - period_s)


@pytest.mark.parametrize(
    ("window_s", "period_s", "delay_s"), [(0.025, 0.1, 0.0), (0.1, 0.1, 0.05), (0.05, 0.02, 0.1)]
)
def test_a_meter_is_known_by_what_it_shows(window_s: float, period_s: float, delay_s: float) -> None:
    on = blinks()
    meter = meters.fit(
        shown(on, window_s=window_s, period_s=period_s, delay_s=delay_s),
        on,
        windows_s=WINDOWS_S,
        delays_s=DELAYS_S,
    )
    assert meter is not None
    assert meter.window_s == pytest.approx(window_s, abs=0.006)
    assert meter.behind_s == pytest.approx(delay_s + window_s / 2, abs=0.006)
    assert meter.step_watts == pytest.approx(600.0, rel=0.02)
    assert meter.error_share < 0.02


def test_a_meter_of_another_window_is_further_off() -> None:
    on = blinks()
    points = shown(on, window_s=0.1, period_s=0.1, delay_s=0.0)
    plant, best = (
        meters.fit(points, on, windows_s=(0.025,), delays_s=DELAYS_S),
        meters.fit(points, on, windows_s=WINDOWS_S, delays_s=DELAYS_S),
    )
    assert plant is not None
    assert best is not None
    assert plant.error_share > best.error_share + 0.1


def test_energy_between_two_steps_is_late_by_its_delay() -> None:
    on = blinks()
    points = shown(on, window_s=0.1, period_s=0.1, delay_s=0.06)
    meter = meters.fit_delay(points, on, DELAYS_S)
    assert meter is not None
    assert meter.delay_s == pytest.approx(0.06, abs=0.006)
    assert meter.window_s == pytest.approx(0.1, abs=0.001)


def test_a_few_readings_fit_no_meter() -> None:
    on = blinks(1.0)
    assert (
        meters.fit(
            shown(on, window_s=0.1, period_s=0.1, delay_s=0.0), on, windows_s=WINDOWS_S, delays_s=DELAYS_S
        )
        is None
    )


def test_a_load_that_never_ran_fits_no_meter() -> None:
    points = series.changes(np.arange(0.0, 10.0, 0.1), np.arange(100.0))
    assert meters.fit(points, (), windows_s=WINDOWS_S, delays_s=DELAYS_S) is None


def test_the_same_seed_blinks_the_same() -> None:
    assert loads.blinking(10.0, 1) == loads.blinking(10.0, 1)
    assert loads.blinking(10.0, 1) != loads.blinking(10.0, 2)
    assert 10.0 <= sum(map(sum, loads.blinking(10.0, 1))) <= 10.0 + 2 * loads.LONGEST_BLINK_S
