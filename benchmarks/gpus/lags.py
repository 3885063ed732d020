"""
How long after an edge of the load a reading shows it.

An edge that is followed by a plateau has a before and an after; a reading has followed
when it has come a given share of the way. Half the way is where a mean over a window
is behind by half of that window, so differences of halves are lags between two fields;
nine tenths is when the edge is seen for good. A reading that never gets there has no
lag, which isn't a lag of zero.
"""

from collections.abc import Iterable

import numpy as np

from benchmarks.gpus.series import Points
from benchmarks.gpus.traces import Spans

BEFORE_S, AFTER_S = (-0.5, 0.0), (1.2, 1.9)
"""Where the plateaus of an edge are looked at: the averaged field needs a second to follow."""


def rises(points: Points, on: Spans, *, share: float) -> tuple[float | None, ...]:
    """Seconds from the start of each span until the reading has come `share` of the way up."""
    return tuple(_lag_s(points, edge_s=began_s, share=share) for began_s, _ in on)


def falls(points: Points, on: Spans, *, share: float) -> tuple[float | None, ...]:
    """Seconds from the end of each span until the reading has come `share` of the way down."""
    return tuple(_lag_s(points, edge_s=ended_s, share=share) for _, ended_s in on)


def longest(lags: Iterable[float | None]) -> float | None:
    """The longest of the lags; None if there is none, or one edge was never followed."""
    known = list(lags)
    return None if not known or None in known else max(lag for lag in known if lag is not None)


def middle(lags: Iterable[float | None]) -> float | None:
    """The median of the lags; None if there is none, or one edge was never followed."""
    known = [lag for lag in lags if lag is not None]
    return float(np.median(known)) if known and longest(lags) is not None else None


def _lag_s(points: Points, *, edge_s: float, share: float) -> float | None:
    before, after = _level(points, edge_s, window_s=BEFORE_S), _level(points, edge_s, window_s=AFTER_S)
    if before is None or after is None or before == after:
        return None
    way = (points.values - before) / (after - before)
    followed = (points.t_s >= edge_s) & (points.t_s <= edge_s + AFTER_S[1]) & (way >= share)
    return float(points.t_s[followed][0] - edge_s) if followed.any() else None


def _level(points: Points, edge_s: float, *, window_s: tuple[float, float]) -> float | None:
    """The median of what was read in a window; the last reading before its end, if none was new in it."""
    early = points.t_s < edge_s + window_s[1]
    inside = points.values[early & (points.t_s >= edge_s + window_s[0])]
    if len(inside):
        return float(np.median(inside))
    return float(points.values[early][-1]) if early.any() else None
