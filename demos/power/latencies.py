"""
Recent request latencies for the screen, of the live row and of its uncapped replay.

Both are computed in the same way, from the requests that ended within the last two minutes, so
that they can be compared. The report compares all requests of the run instead, which isn't possible
while the row runs.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from loadline_sim.arrays import Floats

RECENT_S = 120.0
"""Long enough for some hundred requests of each service, and so for a 99th percentile; chosen."""

Percentiles = tuple[float, float]
"""P50 and P99 in seconds."""


def recent(
    services: ArrayLike, *, arrival_s: Floats, latency_s: Floats, now_s: float
) -> dict[str, Percentiles]:
    """P50 and P99 by service, of the requests that ended within RECENT_S; NaN latencies mean unfinished."""
    ended_s = arrival_s + latency_s
    lately = (ended_s > now_s - RECENT_S) & (ended_s <= now_s)
    names = np.array(services)[lately]
    took_s = latency_s[lately]
    return {str(name): _percentiles(took_s[names == name]) for name in sorted(set(names.tolist()))}


def write(path: Path, found: Mapping[str, Percentiles]) -> None:
    """Replace the file atomically."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(found))
    os.replace(draft, path)


def read(path: Path) -> dict[str, Percentiles]:
    """Read the file; empty if there is none yet."""
    if not path.exists():
        return {}
    return {name: (p50_s, p99_s) for name, (p50_s, p99_s) in json.loads(path.read_text()).items()}


def _percentiles(took_s: Floats) -> Percentiles:
    p50_s, p99_s = np.percentile(took_s, (50, 99)).round(3).tolist()
    return p50_s, p99_s
