"""How long after an edge of the load a reading shows it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.gpus import lags, series
from benchmarks.gpus.series import Points
from benchmarks.gpus.traces import Floats, Spans

ON: Spans = ((2.0, 4.0), (6.0, 8.0), (10.0, 12.0))
T_S: Floats = np.arange(0.0, 14.0, 0.005)


def behind(lag_s: float, *, on: Spans = ON) -> Points:
    """Readings of a meter that shows 100 or 700 W, late by `lag_s`."""
    edges: Floats = np.array(on).ravel() + lag_s - 1e-9
    loaded = np.searchsorted(edges, T_S, side="right") % 2.0
    return restless(100.0 + 600.0 * loaded)


def averaging(window_s: float) -> Points:
    """Readings of a meter that shows the mean over a window, at once."""
    edges, on_s = np.array(ON).ravel(), np.array([0.0, 2.0, 2.0, 4.0, 4.0, 6.0])
    total, before = np.interp(T_S, edges, on_s), np.interp(T_S - window_s, edges, on_s)
    return restless(100.0 + 600.0 * (total - before) / window_s)


def restless(watts: npt.NDArray[Any]) -> Points:
    """A sensor whose plateaus go up and down by a watt."""
    return series.changes(T_S, watts + np.arange(len(T_S)) % 2)


@pytest.mark.parametrize("lag_s", [0.0, 0.1, 0.35])
def test_a_reading_that_is_late_is_late_at_every_edge(lag_s: float) -> None:
    points = behind(lag_s)
    assert lags.rises(points, ON, share=0.5) == pytest.approx((lag_s,) * 3, abs=0.006)
    assert lags.falls(points, ON, share=0.5) == pytest.approx((lag_s,) * 3, abs=0.006)


def test_a_mean_is_behind_by_half_of_its_window() -> None:
    assert lags.middle(lags.rises(averaging(1.0), ON, share=0.5)) == pytest.approx(0.5, abs=0.01)
    assert lags.middle(lags.falls(averaging(0.2), ON, share=0.5)) == pytest.approx(0.1, abs=0.01)


def test_a_mean_has_seen_a_draw_after_nine_tenths_of_its_window() -> None:
    assert lags.longest(lags.rises(averaging(1.0), ON, share=0.9)) == pytest.approx(0.9, abs=0.01)


def test_an_edge_that_is_never_shown_has_no_lag() -> None:
    found = lags.rises(behind(0.0, on=ON[:2]), ON, share=0.9)
    assert found[2] is None
    assert lags.longest(found) is None
    assert lags.middle(found) is None


def test_no_edge_has_no_longest_lag() -> None:
    assert lags.longest(()) is None
    assert lags.middle(()) is None


def test_a_field_that_the_gpu_lacks_has_no_lag() -> None:
    nothing = np.array([])
    assert lags.rises(Points(nothing, nothing, nothing), ON, share=0.5) == (None, None, None)
