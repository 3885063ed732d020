"""
What all plots of a report share: names beside lines, the same margins, two sizes.
"""

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadline_sim.reports.styles import ROLES


def beside(axes: Axes, level: float, *, text: str, role: str) -> None:
    """A name beside the end of a line, outside the axes."""
    axes.annotate(
        text, (1.0, level), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
        va="center", color=ROLES[role], annotation_clip=False, fontweight="bold", fontsize=8.5,
    )  # fmt: skip


def apart(levels: list[float], gap: float) -> list[float]:
    """The levels moved apart to `gap`, the lower ones downwards, their order kept."""
    order = sorted(range(len(levels)), key=lambda i: -levels[i])
    moved = list(levels)
    for above, below in itertools.pairwise(order):
        moved[below] = min(moved[below], moved[above] - gap)
    return moved


def margins(figure: Figure, *, wide: bool) -> None:
    """The same margins for all plots, so that their axes line up."""
    width, height = figure.get_size_inches()
    left, right = (0.78, 0.62) if wide else (0.7, 0.66)
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, top=1 - 0.12 / height, bottom=0.3 / height
    )


def size(wide: bool) -> str:
    """The part of a drawing's name that says how wide it is."""
    return "wide" if wide else "narrow"
