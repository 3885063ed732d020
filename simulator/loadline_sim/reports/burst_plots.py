"""
The plots of the study of bursts: what each kind of requests needs, and how it comes.

As in `plots`, each function returns an SVG element, for a wide or for a narrow page.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadline_sim.reports.axes import margins, size
from loadline_sim.reports.styles import ROLES, canvas, svg
from loadline_sim.studies.bursts import Cost

NAMES_INCHES: Final = 1.3
LONGEST_NAME: Final = 18


def servers(costs: Sequence[Cost], *, wide: bool) -> str:
    """Servers that each kind needs over those for independent requests, with the range."""
    with canvas(wide=wide, height_inches=0.36 * len(costs) + 0.55) as (figure, axes):
        axes.axvline(1.0, color=ROLES["muted"], lw=0.9)
        for at, one in enumerate(reversed(costs)):
            value, low, high = one.servers
            if low is not None and high is not None:
                axes.plot([low, high], [at, at], color=ROLES["row"], lw=2.2)
            if value is not None:
                axes.plot([value], [at], color=ROLES["row"], marker="o", ms=6.5)
        axes.set_yticks(range(len(costs)), [_short(one.name) for one in reversed(costs)])
        axes.set_ylim(-0.6, len(costs) - 0.4)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(8 if wide else 4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
        margins(figure, wide=wide)
        figure.subplots_adjust(left=NAMES_INCHES / figure.get_size_inches()[0])
        return svg(figure, name=f"servers-{size(wide)}", label="Servers over those for independent requests")


def arrivals(one: Cost, *, number: int, wide: bool) -> str:
    """Requests a second of each window: as they come, and independently."""
    with canvas(wide=wide, height_inches=1.8) as (figure, axes):
        for played, role, width in ((one.independent, "uncapped", 1.0), (one.coming, "row", 1.3)):
            if played.per_s:
                edges = played.window_s * np.arange(len(played.per_s) + 1) / 60.0
                axes.stairs(played.per_s, edges, color=ROLES[role], fill=False, lw=width)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}/s"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g} min"))
        margins(figure, wide=wide)
        return svg(figure, name=f"arrivals-{number}-{size(wide)}", label="Requests a second over time")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
