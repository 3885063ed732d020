"""
The plots of a report.

Each function takes plain series and returns an SVG element; `figures` explains the series, and
`styles` has the colours and fonts. All plots over time share their margins and their time axis,
so that a reader can compare watts, clocks and heat at the same moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_sim.arrays import Floats
from loadline_sim.reports.axes import apart, beside, margins, size
from loadline_sim.reports.figures import Span, step_s, thinned
from loadline_sim.reports.formats import minutes
from loadline_sim.reports.styles import ROLES, canvas, svg

BUCKETS = 700
"""The number of buckets into which a series is reduced; each keeps its lowest and its highest value."""


@dataclass(frozen=True, slots=True)
class Band:
    """A span of time with a number and a name, shaded behind the curves."""

    number: int
    title: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A level from one time to another, in the unit of its plot."""

    span: Span
    level: float


def row_power(
    t_s: Floats,
    *,
    row_watts: Floats,
    uncapped_t_s: Floats,
    uncapped_watts: Floats,
    budget_watts: float,
    thresholds: Sequence[Line],
    bands: Sequence[Band],
    wide: bool,
) -> str:
    """The row's draw against its budget, with and without Loadline."""
    with canvas(wide=wide, height_inches=3.7 if wide else 3.5) as (figure, axes):
        _bands(axes, bands, wide=wide, named=True)
        axes.plot(
            *thinned(uncapped_t_s, uncapped_watts / 1e3, buckets=BUCKETS), color=ROLES["uncapped"], lw=0.8
        )
        axes.plot(*thinned(t_s, row_watts / 1e3, buckets=BUCKETS), color=ROLES["row"], lw=1.3)
        axes.axhline(budget_watts / 1e3, color=ROLES["budget"], lw=1.4, dashes=(5, 3))
        for line in thresholds:
            axes.hlines(line.level / 1e3, *line.span, color=ROLES["warn"], lw=1.0, linestyles=(0, (1, 2)))
        highest = max(float(row_watts.max()), float(uncapped_watts.max()), budget_watts * 1.02) / 1e3
        lowest = min(float(row_watts.min()), float(uncapped_watts.min())) / 1e3
        room = highest - lowest
        axes.set_ylim(lowest - 0.05 * room, highest + (0.26 if wide else 0.14) * room)
        _budget_labels(axes, budget_watts, thresholds=thresholds)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} kW"))
        _time_axis(axes, t_s, wide=wide)
        margins(figure, wide=wide)
        return svg(
            figure,
            name=f"row-{size(wide)}",
            label="Row power over time against the budget, with and without Loadline",
        )


def _budget_labels(axes: Axes, budget_watts: float, *, thresholds: Sequence[Line]) -> None:
    beside(axes, budget_watts / 1e3, text="budget", role="budget")
    last = max((line.span[1] for line in thresholds), default=0.0)
    at_the_end = sorted(line.level for line in thresholds if line.span[1] == last)
    for i, level in enumerate(at_the_end, 1):
        beside(axes, level / 1e3, text=f"T{i} {level / budget_watts:.0%}", role="warn")


def clocks(t_s: Floats, high_mhz: Floats, low_mhz: Floats, *, bands: Sequence[Band], wide: bool) -> str:
    """The mean SM clock of each priority, in MHz."""
    with canvas(wide=wide, height_inches=2.1) as (figure, axes):
        _bands(axes, bands, wide=wide)
        for values, role in ((low_mhz, "low"), (high_mhz, "high")):
            axes.plot(
                *thinned(t_s, values, buckets=BUCKETS), color=ROLES[role], lw=1.6 if role == "low" else 1.3
            )
        lowest = min(float(high_mhz.min()), float(low_mhz.min()))
        axes.set_ylim(900 if lowest > 1000 else 0, 1480)
        axes.yaxis.set_major_locator(MultipleLocator(200 if lowest > 1000 else 500))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} MHz".replace(",", " ")))
        ends = apart([float(high_mhz[-1]), float(low_mhz[-1])], gap=0.13 * (580 if lowest > 1000 else 1480))
        for level, name in zip(ends, ("high", "low"), strict=True):
            beside(axes, level, text=name, role=name)
        _time_axis(axes, t_s, wide=wide)
        margins(figure, wide=wide)
        return svg(figure, name=f"clocks-{size(wide)}", label="Mean SM clock by priority over time")


def heat(
    t_s: Floats,
    *,
    capped: Floats,
    uncapped_t_s: Floats,
    uncapped: Floats,
    bands: Sequence[Band],
    wide: bool,
) -> str:
    """The breaker's heat, 0 to 1, with and without Loadline; at 1 it trips."""
    with canvas(wide=wide, height_inches=2.1) as (figure, axes):
        _bands(axes, bands, wide=wide)
        axes.plot(*thinned(uncapped_t_s, uncapped, buckets=BUCKETS), color=ROLES["uncapped"], lw=0.9)
        times, values = thinned(t_s, capped, buckets=BUCKETS)
        axes.fill_between(times, values, color=ROLES["heat"], alpha=0.18, lw=0)
        axes.plot(times, values, color=ROLES["heat"])
        axes.axhline(1.0, color=ROLES["budget"], lw=1.4, dashes=(5, 3))
        axes.set_ylim(0, 1.15)
        axes.yaxis.set_major_locator(MultipleLocator(0.5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        beside(axes, 1.0, text="trips", role="budget")
        beside(axes, WARM, text="warm", role="muted")
        _time_axis(axes, t_s, wide=wide)
        margins(figure, wide=wide)
        return svg(figure, name=f"heat-{size(wide)}", label="The breaker's heat over time")


def latency_ratios(quantiles: Floats, ratios: Sequence[tuple[str, str, Floats]], *, wide: bool) -> str:
    """Capped ÷ uncapped latency at every quantile, one line for each of (name, role, ratios)."""
    with canvas(wide=wide, height_inches=2.7) as (figure, axes):
        axes.axhline(1.0, color=ROLES["muted"], lw=0.9)
        levels = apart([float(values[-1]) for _, _, values in ratios], gap=0.07 * _spread(ratios))
        for (name, role, values), level in zip(ratios, levels, strict=True):
            axes.plot(quantiles * 100, values, color=ROLES[role], lw=1.8)
            beside(axes, level, text=name, role=role)
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_locator(MultipleLocator(10 if wide else 25))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"P{value:.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(_change))
        margins(figure, wide=wide)
        return svg(figure, name=f"ratios-{size(wide)}", label="Latency ÷ uncapped, by quantile")


def _spread(ratios: Sequence[tuple[str, str, Floats]]) -> float:
    values = np.concatenate([values for _, _, values in ratios] + [np.ones(1)])
    return float(np.nanmax(values) - np.nanmin(values)) * 1.6 or 0.1


def reactions(reaction_s: Sequence[float], *, goal_s: float, wide: bool) -> str:
    """Every reaction time as a dot, against the goal."""
    with canvas(wide=wide, height_inches=1.15) as (figure, axes):
        spread = np.array([(i * 0.618034) % 1.0 for i in range(len(reaction_s))])
        axes.scatter(reaction_s, spread, s=26, color=ROLES["row"], alpha=0.65, lw=0)
        axes.axvline(goal_s, color=ROLES["budget"], lw=1.4, dashes=(5, 3))
        axes.text(goal_s, 1.2, f"goal {goal_s:g} s ", ha="right", va="bottom", color=ROLES["budget"])
        axes.set_xlim(0, max([goal_s, *reaction_s]) * 1.08)
        axes.set_ylim(-0.3, 1.3)
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
        margins(figure, wide=wide)
        return svg(figure, name=f"reactions-{size(wide)}", label="Reaction times against the goal")


def breaker_curve(curve: Curve, *, load: float, asked_s: float, wide: bool) -> str:
    """Trip time by load, of a cold and a warm breaker; `load` is the row's maximum, S2 requires `asked_s`."""
    loads = np.geomspace(curve.points[1][0] * 0.985, max(curve.points[-1][0], load) * 1.08, 240)
    cold_s = np.array([curve.trip_s(float(value)) for value in loads])
    with canvas(wide=wide, height_inches=2.9) as (figure, axes):
        axes.plot(loads * 100, cold_s, color=ROLES["heat"], lw=1.8)
        axes.plot(loads * 100, cold_s * (1.0 - WARM), color=ROLES["heat"], lw=1.3, dashes=(4, 2))
        axes.axhline(asked_s, color=ROLES["budget"], lw=1.2, dashes=(5, 3))
        trip_s = (1.0 - WARM) * curve.trip_s(load)
        axes.plot([load * 100], [trip_s], "o", color=ROLES["ink"], ms=6)
        axes.annotate(
            f"all GPUs at maximum: {load:.0%}\nwarm: trips after {trip_s:.0f} s", (load * 100, trip_s),
            xytext=(0, 17), textcoords="offset points", ha="center", color=ROLES["ink"],
        )  # fmt: skip
        axes.set_ylim(0, float(cold_s[np.isfinite(cold_s)].max()) * 1.12)
        names = ("cold", "warm", "required")
        levels = apart([float(cold_s[-1]), float(cold_s[-1]) * (1.0 - WARM), asked_s], gap=5.0)
        for level, name, role in zip(levels, names, ("heat", "heat", "budget"), strict=True):
            beside(axes, level, text=name, role=role)
        axes.xaxis.set_major_locator(MultipleLocator(5 if wide else 10))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
        axes.set_xlim(float(loads[0]) * 100, float(loads[-1]) * 100)
        margins(figure, wide=wide)
        return svg(figure, name=f"curve-{size(wide)}", label="Time until the breaker trips, by load")


def slowdown_role(priority: str) -> str:
    """The colour role of a priority class."""
    return "high" if priority == "high" else "low"


def _bands(axes: Axes, bands: Sequence[Band], *, wide: bool, named: bool = False) -> None:
    for band in bands:
        start_s, end_s = band.span
        if band.number % 2:
            axes.axvspan(start_s, end_s, color=ROLES["band"], lw=0, zorder=0)
        if named:
            top = axes.get_xaxis_transform()
            axes.text(
                (start_s + end_s) / 2, 0.985, f"{band.number}", transform=top,
                ha="center", va="top", color=ROLES["muted"], fontweight="bold",
            )  # fmt: skip
            if wide:
                axes.text(
                    (start_s + end_s) / 2, 0.925, _two_lines(band.title), transform=top,
                    ha="center", va="top", color=ROLES["muted"], fontsize=7.5, linespacing=1.15,
                )  # fmt: skip


def _two_lines(title: str) -> str:
    """A title broken at the space nearest its middle, where it is long."""
    spaces = [i for i, letter in enumerate(title) if letter == " "]
    if len(title) <= 9 or not spaces:
        return title
    middle = min(spaces, key=lambda i: abs(i - len(title) / 2))
    return f"{title[:middle]}\n{title[middle + 1 :]}"


def _time_axis(axes: Axes, t_s: Floats, *, wide: bool) -> None:
    axes.set_xlim(float(t_s[0]) - step_s(t_s), float(t_s[-1]))
    length_s = float(t_s[-1] - t_s[0])
    steps = (15, 30, 60, 120, 180, 300, 600, 1200, 3600)
    most = 13 if wide else 5
    axes.xaxis.set_major_locator(MultipleLocator(next((s for s in steps if length_s / s <= most), 7200)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minutes(value)))


def _change(ratio: float, _: object) -> str:
    """A tick's change in percent, with as many digits as tell it from the next tick."""
    return f"{100 * (ratio - 1):+.3g}%" if abs(ratio - 1) > 1e-9 else "±0%"
