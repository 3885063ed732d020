"""
The plot of a study of a row's power over weeks: its load over time.

As in `plots`, the function returns an SVG element, for a wide or for a narrow page.
"""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadline_sim.reports.axes import beside, margins, size
from loadline_sim.reports.styles import ROLES, canvas, svg
from loadline_sim.weeks.cases import TEN_MINUTES_S, Outcome

SHORT_HOURS = 48.0
"""Up to here the axis counts hours."""


def loads(base: Outcome, shown: Outcome, *, wide: bool) -> str:
    """The load of each ten minutes: the mean, and up to the highest second; and the base row's mean."""
    hours = np.arange(len(shown.means)) * TEN_MINUTES_S / 3600.0
    unit, times = ("hour", hours) if hours[-1] <= SHORT_HOURS else ("day", hours / 24.0)
    with canvas(wide=wide, height_inches=2.6) as (figure, axes):
        axes.fill_between(times, shown.means, shown.highest, color=ROLES["row"], alpha=0.25, lw=0)
        axes.plot(times, shown.means, color=ROLES["row"], lw=1.2)
        axes.plot(times, base.means, color=ROLES["uncapped"], lw=1.0)
        axes.axhline(1.0, color=ROLES["budget"], lw=1.2, dashes=(5, 3))
        beside(axes, 1.0, text="budget", role="budget")
        axes.set_ylim(min(base.means) * 0.9, max(1.02, *shown.highest) * 1.01)
        axes.set_xlim(0.0, max(float(times[-1]), 1.0))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda load, _: f"{load * 100:.0f} %"))
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{unit} {at:g}"))
        margins(figure, wide=wide)
        return svg(
            figure, name=f"loads-{size(wide)}", label="The row's load over time, in percent of its budget"
        )
