"""
The plots of a simulated fleet: what came, how latencies went over time, and how they are spread.

As in `plots`, each function returns an SVG element, for a wide or for a narrow page.
"""

from typing import Final

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadline_sim.arrays import Floats
from loadline_sim.capacity.questions import PERCENT, Answer, Figures
from loadline_sim.reports import formats
from loadline_sim.reports.axes import beside, margins, size
from loadline_sim.reports.styles import ROLES, canvas, svg

BINS: Final = 120
LEAST_IN_BIN: Final = 10
"""Requests from which a bin has a p99 that says anything."""


def rates(answer: Answer, *, wide: bool) -> str:
    """Requests that come in each second, as means of bins."""
    edges_s = _edges(answer)
    counts = np.histogram(answer.trace.arrival_s, edges_s)[0] / np.diff(edges_s)
    with canvas(wide=wide, height_inches=1.8) as (figure, axes):
        axes.stairs(counts, edges_s / 60.0, color=ROLES["row"], fill=False, lw=1.3)
        axes.set_ylim(0, float(counts.max(initial=1.0)) * 1.06)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}/s"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g} min"))
        margins(figure, wide=wide)
        return svg(figure, name=f"rates-{size(wide)}", label="Requests per second over time")


def first_tokens(answer: Answer, *, wide: bool) -> str:
    """The median and the 99th percentile of the time to the first token, by when a request came."""
    edges_s = _edges(answer)
    place = np.clip(np.searchsorted(edges_s, answer.trace.arrival_s, "right") - 1, 0, edges_s.size - 2)
    middle, slow = (_by_bin(answer.outcomes.ttft_s, place, q=q, bins=edges_s.size - 1) for q in (0.5, 0.99))
    at = (edges_s[1:] + edges_s[:-1]) / 120.0
    with canvas(wide=wide, height_inches=2.4) as (figure, axes):
        axes.plot(at, slow, color=ROLES["high"], lw=1.3)
        axes.plot(at, middle, color=ROLES["low"], lw=1.6)
        most_s = answer.objectives.ttft_s
        if most_s is not None:
            axes.axhline(most_s, color=ROLES["budget"], lw=1.2, dashes=(5, 3))
            beside(axes, most_s, text="objective", role="budget")
        axes.set_ylim(0, None)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formats.seconds(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g} min"))
        margins(figure, wide=wide)
        return svg(figure, name=f"first-{size(wide)}", label="Time to the first token over time")


def latencies(answer: Answer, *, name: str, wide: bool) -> str:
    """One latency by the share of requests that don't exceed it, between faster and slower steps."""
    middle, fast, slow = (
        np.array(_figures(one, name).at) for one in (answer.result, answer.faster, answer.slower)
    )
    objectives = {
        "ttft": answer.objectives.ttft_s,
        "tpot": answer.objectives.tpot_s,
        "e2e": answer.objectives.e2e_s,
    }
    with canvas(wide=wide, height_inches=2.0) as (figure, axes):
        axes.fill_between(PERCENT, fast, slow, color=ROLES["row"], alpha=0.22, lw=0)
        axes.plot(PERCENT, middle, color=ROLES["row"], lw=1.7)
        most_s = objectives[name]
        if most_s is not None:
            axes.axhline(most_s, color=ROLES["budget"], lw=1.2, dashes=(5, 3))
            beside(axes, most_s, text="objective", role="budget")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formats.seconds(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g} %"))
        margins(figure, wide=wide)
        return svg(figure, name=f"{name}-{size(wide)}", label=f"{name} by the share of requests")


def _figures(result: object, name: str) -> Figures:
    figures: Figures = getattr(result, name)
    return figures


def _edges(answer: Answer) -> Floats:
    """Bins from the first arrival to the last, of a second at least."""
    first, last = float(answer.trace.arrival_s[0]), float(answer.trace.arrival_s[-1])
    count = max(1, min(BINS, int(last - first)))
    return np.linspace(first, max(last, first + 1.0), count + 1)


def _by_bin(
    values: Floats, place: np.ndarray[tuple[int], np.dtype[np.int64]], *, q: float, bins: int
) -> Floats:
    """A quantile of each bin; NaN where too few requests came, or too few were served."""
    found: Floats = np.full(bins, np.nan)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(bins + 1))
    for number in range(bins):
        inside = values[order[starts[number] : starts[number + 1]]]
        if np.isfinite(inside).sum() >= LEAST_IN_BIN:
            found[number] = np.nanquantile(inside, q)
    return found
