"""What the sensors' findings make of a meter: the plant's is found to be the plant's, another isn't."""

from functools import cache

import numpy as np

from benchmarks.gpus import loads, meters, sensor_findings
from benchmarks.gpus.traces import Buffered, Column, Floats, Glances, Sensors, Spans
from benchmarks.result_files import Result

EDGES: Spans = ((1.0, 3.0), (5.0, 7.0), (9.0, 11.0))
IDLE_WATTS, STEP_WATTS = 120.0, 560.0
GLANCE_S = 0.005


def spans(seconds: float) -> Spans:
    """When load blinks."""
    now, on = 0.0, []
    for pause_s, load_s in loads.blinking(seconds, 5):
        on.append((now + pause_s, now + pause_s + load_s))
        now = on[-1][1]
    return tuple(on)


def shown(on: Spans, t_s: Floats, *, window_s: float, period_s: float, late_s: float) -> Floats:
    """What a meter shows at these times, with a watt of noise from look to look."""
    looks = np.floor((t_s - late_s) / period_s)
    looks_s = looks * period_s
    noise = np.random.default_rng(2).normal(0.0, 1.0, int(looks.max()) + 2)[looks.astype(int)]
    share: Floats = meters.on_share(on, from_s=looks_s - window_s, to_s=looks_s)
    watts: Floats = IDLE_WATTS + STEP_WATTS * share + noise
    return watts


def column(values: Floats) -> Column:
    """An array as it is kept."""
    return tuple(values.tolist())


def glances(on: Spans, *, window_s: float, period_s: float, late_s: float) -> Glances:
    """All three fields, with an energy counter that is the meter's in nothing but its period."""
    t_s = np.arange(0.0, on[-1][1] + 2.0, GLANCE_S)
    looks_s = np.floor(t_s / 0.1) * 0.1
    begun = np.zeros(len(t_s))
    on_s = meters.on_share(on, from_s=begun - 1.0, to_s=looks_s) * (looks_s + 1.0)
    return Glances(
        work="a test",
        every_s=GLANCE_S,
        t_s=tuple(t_s.tolist()),
        instant_watts=column(shown(on, t_s, window_s=window_s, period_s=period_s, late_s=late_s)),
        average_watts=column(shown(on, t_s, window_s=1.0, period_s=0.1, late_s=0.0)),
        energy_j=column(IDLE_WATTS * looks_s + STEP_WATTS * on_s),
        on=on,
    )


def sensors(*, window_s: float, period_s: float, late_s: float) -> Sensors:
    """A run over a GPU with such a meter."""
    blinks = glances(spans(30.0), window_s=window_s, period_s=period_s, late_s=late_s)
    return Sensors(
        commit="",
        machine="none",
        seen_at="never",
        edges=glances(EDGES, window_s=window_s, period_s=period_s, late_s=late_s),
        blinks=blinks,
        flashes=blinks,
        buffered=Buffered(t_s=(), watts=()),
    )


@cache
def figures(*, window_s: float = 0.025, period_s: float = 0.1, late_s: float = 0.01) -> dict[str, Result]:
    """What is found out about such a meter."""
    return sensor_findings.figures(sensors(window_s=window_s, period_s=period_s, late_s=late_s))


def failed(results: dict[str, Result]) -> set[str]:
    """The checks that such a GPU fails."""
    return {check.name for check in sensor_findings.checks(results) if not check.ok}


def test_the_plants_own_meter_passes_every_check() -> None:
    assert failed(figures()) == set()


def test_a_meter_that_looks_all_the_time_is_not_the_plants() -> None:
    assert failed(figures(window_s=0.1)) == {"meter_window_s", "plant_meter_extra_error_share"}


def test_a_meter_of_another_pace_is_not_the_plants() -> None:
    assert failed(figures(period_s=0.05)) == {"meter_period_s"}


def test_a_meter_that_is_half_a_second_late_is_too_late_for_the_safe_states() -> None:
    assert "rise_seen_s_max" in failed(figures(late_s=0.5))


def test_a_driver_without_a_buffer_has_no_figures_for_it() -> None:
    results = figures()
    assert {results[f"buffer_{name}"] for name in ("period_ms", "window_ms", "error_share")} == {None}
