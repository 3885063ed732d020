"""
What the sensors turned out to be: how late, how often, through which window; and what the plant's is worth.

Lags are from steps of the heaviest load. Windows are from a load that no limit binds, since a
step that is cut down by a limit within milliseconds is neither on nor off. The driver's own
buffer is judged as another meter.
"""

import numpy as np

from benchmarks.gpus import lags, meters, series
from benchmarks.gpus.meters import Meter
from benchmarks.gpus.series import Points
from benchmarks.gpus.traces import Glances, Sensors, floats
from benchmarks.result_files import Check, Result, at_most, near
from loadline_policies.power.safety.safe_states import Timings
from loadline_sim.plant.hardware import AVERAGE_S, SAMPLE_TICKS, TICK_S

HALF, SEEN = 0.5, 0.9
"""Shares of a step: where lags are compared, and where a draw counts as seen."""

PERIOD_WITHIN_S, WINDOW_WITHIN_S, AVERAGE_WITHIN_S = 0.02, 0.01, 0.2
"""How near the plant's meter has to be to count as this GPU's: a fifth of the period, two glances. Chosen."""
EXTRA_ERROR_GOAL = 0.05
"""How much more of a step the plant's window may be off than the best one, each at its best delay. Chosen."""

INSTANT_WINDOWS_S = (*(step * 0.005 for step in range(1, 51)), *(step * 0.05 for step in range(6, 25)))
AVERAGE_WINDOWS_S = tuple(step * 0.05 for step in range(1, 31))
DELAYS_S = tuple(step * 0.005 for step in range(-10, 51))
"""Below nought too: a buffer may stamp a sample with the start of its window."""


def figures(sensors: Sensors) -> dict[str, Result]:
    """Lags, periods, windows."""
    results: dict[str, Result] = {}
    for name, points in _points(sensors.edges).items():
        results |= _lag_figures(name, points, edges=sensors.edges)
    for other in ("average", "energy"):
        behind = _less(results["instant_half_rise_ms"], results[f"{other}_half_rise_ms"])
        results[f"instant_behind_{other}_ms"] = behind
    for name, points in _seen(sensors).items():
        meter, period_ms = _meter(name, points, sensors=sensors), _ms(series.period_s(points))
        results[f"{name}_period_ms"] = period_ms
        results |= _meter_figures(name, meter, period_ms=period_ms)
    plant = meters.fit(_seen(sensors)["instant"], sensors.flashes.on, windows_s=(TICK_S,), delays_s=DELAYS_S)
    return results | {"plant_meter_error_share": None if plant is None else plant.error_share}


def checks(results: dict[str, Result]) -> tuple[Check, ...]:
    """What the safe states count on, and what the plant believes."""
    return (
        at_most(
            "rise_seen_s_max",
            _s(results["instant_seen_rise_ms_max"]),
            goal=Timings().sensor_s,
            reason="the safe states count on a faster meter",
        ),
        near(
            "meter_period_s",
            _s(results["instant_period_ms"]),
            goal=SAMPLE_TICKS * TICK_S,
            within=PERIOD_WITHIN_S,
            reason="the plant's meter looks at another pace than this GPU's",
        ),
        near(
            "meter_window_s",
            _s(results["instant_window_ms"]),
            goal=TICK_S,
            within=WINDOW_WITHIN_S,
            reason="the plant's meter looks through another window than this GPU's",
        ),
        near(
            "average_window_s",
            _s(results["average_window_ms"]),
            goal=AVERAGE_S,
            within=AVERAGE_WITHIN_S,
            reason="the plant averages over another time than this GPU",
        ),
        at_most(
            "plant_meter_extra_error_share",
            _less(results["plant_meter_error_share"], results["instant_error_share"]),
            goal=EXTRA_ERROR_GOAL,
            reason="the plant's meter isn't this GPU's: see its window and period in the results",
        ),
    )


def _seen(sensors: Sensors) -> dict[str, Points]:
    """The meters, each by the readings that show it best."""
    blinks, buffered = _points(sensors.blinks), sensors.buffered
    times_s = np.array(buffered.t_s)
    return {
        "instant": _points(sensors.flashes)["instant"],
        "average": blinks["average"],
        "energy": blinks["energy"],
        "buffer": Points(times_s, np.array(buffered.watts), times_s),
    }


def _points(glances: Glances) -> dict[str, Points]:
    t_s = np.array(glances.t_s)
    return {
        "instant": series.changes(t_s, floats(glances.instant_watts)),
        "average": series.changes(t_s, floats(glances.average_watts)),
        "energy": series.rates(t_s, floats(glances.energy_j)),
    }


def _lag_figures(name: str, points: Points, *, edges: Glances) -> dict[str, Result]:
    return {
        f"{name}_half_rise_ms": _ms(lags.middle(lags.rises(points, edges.on, share=HALF))),
        f"{name}_half_fall_ms": _ms(lags.middle(lags.falls(points, edges.on, share=HALF))),
        f"{name}_seen_rise_ms_max": _ms(lags.longest(lags.rises(points, edges.on, share=SEEN))),
        f"{name}_seen_fall_ms_max": _ms(lags.longest(lags.falls(points, edges.on, share=SEEN))),
    }


def _meter(name: str, points: Points, *, sensors: Sensors) -> Meter | None:
    if name == "energy":
        return meters.fit_delay(points, sensors.blinks.on, DELAYS_S)
    if name == "average":
        return meters.fit(points, sensors.blinks.on, windows_s=AVERAGE_WINDOWS_S, delays_s=DELAYS_S)
    return meters.fit(points, sensors.flashes.on, windows_s=INSTANT_WINDOWS_S, delays_s=DELAYS_S)


def _meter_figures(name: str, meter: Meter | None, *, period_ms: float | None) -> dict[str, Result]:
    window_ms = None if meter is None else 1e3 * meter.window_s
    unseen = None if window_ms is None or period_ms is None else max(0.0, 1.0 - window_ms / period_ms)
    return {
        f"{name}_window_ms": window_ms,
        f"{name}_delay_ms": None if meter is None else 1e3 * meter.delay_s,
        f"{name}_middle_behind_ms": None if meter is None else 1e3 * meter.behind_s,
        f"{name}_error_share": None if meter is None else meter.error_share,
        f"{name}_unseen_share": unseen,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _s(milliseconds: Result) -> float | None:
    return milliseconds / 1e3 if isinstance(milliseconds, float) else None


def _less(one: Result, other: Result) -> float | None:
    return one - other if isinstance(one, float) and isinstance(other, float) else None
