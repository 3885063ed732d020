"""
What a trace is like, in the few figures by which traces are told apart: rates, bursts, lengths, shared
prefixes.
"""

from dataclasses import dataclass

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic import prefixes
from loadline_sim.traffic.traces import Trace

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Mean and quantiles of a number of tokens."""

    mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Figures of a trace.

    `per_minute` are of whole minutes: mean, highest, and deviation over mean; NaN in a trace of less than
    one. `dispersion` is the variance over the mean of the requests of each second: 1 if they come
    independently. `cached_share` is the share of blocks that a prefix cache without limits would hit, None
    without blocks.
    """

    requests: int
    span_s: float
    mean_per_minute: float
    peak_per_minute: float
    deviation_per_minute: float
    dispersion: float
    prompt: Lengths
    output: Lengths
    cached_share: float | None


def statistics(trace: Trace) -> Statistics:
    """The figures of a trace that has at least one request."""
    times_s = trace.arrival_s - trace.arrival_s[0]
    minutes = _counts(times_s, MINUTE_S)
    seconds = _counts(times_s, 1.0)
    mean = float(minutes.mean()) if minutes.size else np.nan
    return Statistics(
        requests=len(trace),
        span_s=float(times_s[-1]),
        mean_per_minute=mean,
        peak_per_minute=float(minutes.max()) if minutes.size else np.nan,
        deviation_per_minute=float(minutes.std() / mean) if mean > 0 else np.nan,
        dispersion=float(seconds.var() / seconds.mean()) if seconds.sum() else np.nan,
        prompt=_lengths(trace.prompt_tokens),
        output=_lengths(trace.output_tokens),
        cached_share=_cached_share(trace),
    )


def _counts(times_s: Floats, bin_s: float) -> Ints:
    """Requests of each whole bin; the last one, which the trace's end has cut, is left out."""
    bins = int(times_s[-1] / bin_s)
    found: Ints = np.bincount((times_s / bin_s).astype(np.int64), minlength=bins + 1)[:bins]
    return found


def _lengths(tokens: Ints) -> Lengths:
    p50, p90, p99 = (float(one) for one in np.quantile(tokens, (0.5, 0.9, 0.99)))
    return Lengths(mean=float(tokens.mean()), p50=p50, p90=p90, p99=p99)


def _cached_share(trace: Trace) -> float | None:
    if trace.prefixes is None:
        return None
    blocks = int(trace.prefixes.blocks.sum())
    return int(prefixes.cached_blocks(trace.prefixes).sum()) / blocks if blocks else None
