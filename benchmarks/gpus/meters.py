"""
Which meter would have shown what was read: how long a window it looks through, how late.

While load blinks at random, a meter's reading is base + step × the share of its window in
which load was on. Of all windows and delays, the ones with the least squares are the meter's.
The plant's meter is fixed (25 ms of every 100 ms); its own error on the same readings
beside that of the best one says what the plant's model is worth on this GPU.

Draw isn't quite on or off, a clock goes up and a chip warms; what that costs is in the error.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.gpus.series import Points
from benchmarks.gpus.traces import Floats, Spans

LEAST_READINGS = 20
"""Four are unknown; fewer readings than this would fit anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter and how far it is off the readings (root of the mean square)."""

    window_s: float
    delay_s: float
    base_watts: float
    step_watts: float
    error_watts: float

    @property
    def behind_s(self) -> float:
        """How far the middle of its window is behind the moment a reading is first seen."""
        return self.delay_s + self.window_s / 2

    @property
    def error_share(self) -> float:
        """The error as a share of what load adds."""
        return self.error_watts / abs(self.step_watts) if self.step_watts else float("inf")


def fit(points: Points, on: Spans, *, windows_s: Iterable[float], delays_s: Iterable[float]) -> Meter | None:
    """The meter of least squares among these windows and delays; None with too few readings."""
    windows, delays = tuple(windows_s), tuple(delays_s)
    inside = _inside(points, on, reach_s=max(windows) + max(delays))
    t_s, values = points.t_s[inside], points.values[inside]
    meters = [
        meter
        for window_s in windows
        for delay_s in delays
        if (meter := _meter(t_s - window_s, to_s=t_s, values=values, on=on, delay_s=delay_s)) is not None
    ]
    return min(meters, key=lambda meter: meter.error_watts, default=None)


def fit_delay(points: Points, on: Spans, delays_s: Iterable[float]) -> Meter | None:
    """The same for readings that know their own windows (`from_s`): only the delay is sought."""
    delays = tuple(delays_s)
    inside = _inside(points, on, reach_s=max(delays))
    from_s, t_s, values = points.from_s[inside], points.t_s[inside], points.values[inside]
    meters = [
        m for d in delays if (m := _meter(from_s, to_s=t_s, values=values, on=on, delay_s=d)) is not None
    ]
    return min(meters, key=lambda meter: meter.error_watts, default=None)


def on_share(on: Spans, *, from_s: Floats, to_s: Floats) -> Floats:
    """The share of each window in which load was on."""
    edges = np.array(on, dtype=np.float64).ravel()
    lengths = np.zeros(len(edges))
    lengths[1::2] = edges[1::2] - edges[::2]
    total = np.cumsum(lengths)
    share: Floats = (np.interp(to_s, edges, total) - np.interp(from_s, edges, total)) / (to_s - from_s)
    return share


def _inside(points: Points, on: Spans, *, reach_s: float) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    if not on:
        return np.zeros(len(points.t_s), dtype=np.bool_)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (points.t_s >= on[0][0] + reach_s) & (
        points.t_s <= on[-1][1]
    )
    return inside


def _meter(from_s: Floats, *, to_s: Floats, values: Floats, on: Spans, delay_s: float) -> Meter | None:
    if len(values) < LEAST_READINGS:
        return None
    share = on_share(on, from_s=from_s - delay_s, to_s=to_s - delay_s)
    spread = share - share.mean()
    if not np.any(spread):
        return None
    step = float(spread @ values / (spread @ spread))
    base = float(values.mean() - step * share.mean())
    error = float(np.sqrt(np.mean((values - base - step * share) ** 2)))
    window_s = float(np.median(to_s - from_s))
    return Meter(window_s=window_s, delay_s=delay_s, base_watts=base, step_watts=step, error_watts=error)
