"""
Computes a report's figures from a recorded run.

Pure functions over arrays of the plant's true state: none reads an agent's report, none
knows the report's layout. Series are means over equal steps, and `t_s` holds the end of
each step. An excursion is an uninterrupted time above a level; brakes and trips are counted
as `breaker_meters.BreakerMeter` counts them.

Latencies are compared with those of the uncapped replay of the same arrivals, as
percentiles: P99 ÷ P99 uncapped, which is how POLCA states its SLOs. Callers can leave out
requests that were in flight during an injected fault.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats
from loadline_sim.plant.breaker_meters import BreakerMeter

Span = tuple[float, float]
"""Start and end, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """An uninterrupted time in which a series is above a level; `peak` is its highest value."""

    start_s: float
    end_s: float
    peak: float

    @property
    def duration_s(self) -> float:
        """End minus start, in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Strain:
    """The load on a breaker in a span of time; loads are fractions of the budget."""

    brakes: int
    trips: int
    seconds_above: float
    max_load: float
    mean_load: float
    max_heat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """Requests beside their uncapped replay. Ratios are capped ÷ uncapped, NaN without requests."""

    requests: int
    p50_s: float
    p99_s: float
    uncapped_p50_s: float
    uncapped_p99_s: float

    @property
    def p50_ratio(self) -> float:
        """Median ÷ median uncapped."""
        return self.p50_s / self.uncapped_p50_s

    @property
    def p99_ratio(self) -> float:
        """99th percentile ÷ 99th percentile uncapped."""
        return self.p99_s / self.uncapped_p99_s


def excursions(t_s: Floats, values: Floats, *, level: float) -> tuple[Excursion, ...]:
    """The excursions of `values` above `level`, in order."""
    above = np.concatenate(([False], values > level, [False]))
    edges = np.flatnonzero(above[1:] != above[:-1])
    starts_s = np.concatenate(([t_s[0] - step_s(t_s)], t_s)) if t_s.size else t_s
    return tuple(
        Excursion(
            start_s=float(starts_s[first]), end_s=float(t_s[last - 1]), peak=float(values[first:last].max())
        )
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    )


def seconds_above(t_s: Floats, values: Floats, *, level: float) -> float:
    """Seconds that `values` spend above `level`."""
    return float((values > level).sum() * step_s(t_s))


def step_s(t_s: Floats) -> float:
    """The series' step in seconds; 0 for less than two points."""
    return float((t_s[-1] - t_s[0]) / (t_s.size - 1)) if t_s.size > 1 else 0.0


def strain(
    t_s: Floats, row_watts: Floats, *, budget_watts: float, curve: Curve, span: Span, heat: float = 0.0
) -> Strain:
    """The load on the breaker in `span`; `heat` (0 to 1) is its heat at the start."""
    within = inside(t_s, (span,))
    watts = row_watts[within]
    breaker = BreakerMeter(curve, budget_watts=budget_watts, tick_s=step_s(t_s))
    breaker.heat = heat
    for value in watts.tolist():
        breaker.tick(value)
    return Strain(
        brakes=breaker.brakes,
        trips=breaker.trips,
        seconds_above=breaker.seconds_above,
        max_load=breaker.max_load,
        mean_load=float(watts.mean()) / budget_watts if watts.size else 0.0,
        max_heat=breaker.max_heat,
    )


def inside(t_s: Floats, spans: Iterable[Span]) -> NDArray[np.bool_]:
    """Which times lie in one of the spans, their ends included."""
    chosen = np.zeros(t_s.size, dtype=np.bool_)
    for start_s, end_s in spans:
        chosen |= (t_s >= start_s) & (t_s <= end_s)
    return chosen


def untouched(arrival_s: Floats, latency_s: Floats, *, spans: Iterable[Span]) -> NDArray[np.bool_]:
    """Which requests were neither waiting nor served during any of the spans."""
    end_s = arrival_s + latency_s
    chosen = np.isfinite(latency_s)
    for start, end in spans:
        chosen &= (end_s < start) | (arrival_s > end)
    return chosen


def slowdown(latency_s: Floats, uncapped_s: Floats) -> Slowdown:
    """Compare two runs of the same requests; only requests that both have finished count."""
    both = np.isfinite(latency_s) & np.isfinite(uncapped_s)
    p50_s, p99_s = percentiles(latency_s[both], (50, 99))
    uncapped_p50_s, uncapped_p99_s = percentiles(uncapped_s[both], (50, 99))
    return Slowdown(
        requests=int(both.sum()),
        p50_s=p50_s,
        p99_s=p99_s,
        uncapped_p50_s=uncapped_p50_s,
        uncapped_p99_s=uncapped_p99_s,
    )


def quantile_ratios(latency_s: Floats, *, uncapped_s: Floats, quantiles: Floats) -> Floats:
    """Capped ÷ uncapped at each of the quantiles (0 to 1); NaN without requests."""
    both = np.isfinite(latency_s) & np.isfinite(uncapped_s)
    if not both.any():
        return np.full(quantiles.size, np.nan)
    ratios: Floats = np.quantile(latency_s[both], quantiles) / np.quantile(uncapped_s[both], quantiles)
    return ratios


def percentiles(values: Floats, percents: Sequence[float]) -> tuple[float, ...]:
    """The percentiles of `values`; NaN where there are none."""
    if values.size == 0:
        return tuple(float("nan") for _ in percents)
    return tuple(float(value) for value in np.percentile(values, percents))


def thinned(
    t_s: Floats, values: Floats, *, buckets: int, pick: Callable[[Floats], float] | None = None
) -> tuple[Floats, Floats]:
    """Reduce a series to the lowest and the highest point of each bucket, so that a plot loses no peak.

    With `pick`, to one point a bucket: the result of `pick` for the bucket's values.
    """
    if t_s.size <= 2 * buckets:
        return t_s, values
    times, chosen = [], []
    for part_t_s, part in zip(np.array_split(t_s, buckets), np.array_split(values, buckets), strict=True):
        if pick is not None:
            times.append(part_t_s[-1])
            chosen.append(pick(part))
            continue
        ends = sorted({int(part.argmin()), int(part.argmax())})
        times.extend(part_t_s[ends])
        chosen.extend(part[ends])
    return np.array(times), np.array(chosen)
