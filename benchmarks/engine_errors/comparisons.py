"""
How far the simulator is off a recording, and a recording off itself when it is made again.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from benchmarks.engine_errors.fitted_models import Simulated
from benchmarks.engine_errors.recordings import Recording
from loadline_sim.arrays import Floats
from loadline_sim.serving import gaps

Errors = Mapping[str, float]
"""By figure, as `ttft_p50`: the relative error."""

SHARES: Final = np.array([0.5, 0.99])


def figures_of(recording: Recording) -> dict[str, float]:
    """The figures of a recording that are compared, in seconds."""
    return _figures(
        ttft=np.quantile(recording.ttft_s, SHARES),
        itl=np.quantile(recording.gaps_s, SHARES),
        e2e=np.array([np.median(recording.e2e_s), recording.e2e_s.mean()]),
    )


def figures_told(simulated: Simulated) -> dict[str, float]:
    """The same of a simulation."""
    return _figures(
        ttft=np.quantile(simulated.ttft_s, SHARES),
        itl=gaps.quantiles(simulated.gaps, SHARES),
        e2e=np.array([np.median(simulated.e2e_s), simulated.e2e_s.mean()]),
    )


def errors(told: Mapping[str, float], seen: Mapping[str, float]) -> Errors:
    """Relative errors of each figure."""
    return {name: abs(told[name] / seen[name] - 1.0) for name in seen}


def worst(of: Mapping[str, float], prefix: str) -> float:
    """The largest error among the figures of one latency."""
    return max(value for name, value in of.items() if name.startswith(prefix))


def _figures(*, ttft: Floats, itl: Floats, e2e: Floats) -> dict[str, float]:
    return {
        "ttft_p50": float(ttft[0]),
        "ttft_p99": float(ttft[1]),
        "itl_p50": float(itl[0]),
        "itl_p99": float(itl[1]),
        "e2e_p50": float(e2e[0]),
        "e2e_mean": float(e2e[1]),
    }
