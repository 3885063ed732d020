"""
The plots of the study of Splitwise: what each design carries, and how near it is to its objectives.

As in `plots`, each function returns an SVG element, for a wide or for a narrow page.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadline_sim.reports.axes import margins, size
from loadline_sim.reports.styles import ROLES, canvas, svg
from loadline_sim.studies.splitwise import Carried

DRAWN: Final[Mapping[str, tuple[str, tuple[float, float] | None]]] = {
    "Baseline-A100": ("uncapped", None),
    "Baseline-H100": ("budget", None),
    "AA": ("low", None),
    "HH": ("row", None),
    "HA": ("high", (5, 3)),
    "HHcap": ("heat", (1, 1.5)),
}
"""The role of a design's colour, and its dash; the page has the key."""

NAMES_INCHES: Final = 1.2
HIGHEST: Final = 2.0
"""The pressure at which the plot ends: far more is overload, and no scale shows both."""


def rates(table: Sequence[Carried], *, name: str, wide: bool) -> str:
    """The highest rate of each design, with the range of the model's error."""
    with canvas(wide=wide, height_inches=0.34 * len(table) + 0.5) as (figure, axes):
        for at, one in enumerate(reversed(table)):
            role = DRAWN[one.design.name][0]
            low, high = one.span
            if low is not None and high is not None:
                axes.plot([low, high], [at, at], color=ROLES[role], lw=2.2)
            if one.rate is not None:
                axes.plot([one.rate], [at], color=ROLES[role], marker="o", ms=6.5)
        axes.set_yticks(range(len(table)), [one.design.name for one in reversed(table)])
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(8 if wide else 4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}/s"))
        margins(figure, wide=wide)
        figure.subplots_adjust(left=NAMES_INCHES / figure.get_size_inches()[0])
        return svg(figure, name=f"rates-{name}-{size(wide)}", label="The highest rate of each design")


def pressures(table: Sequence[Carried], *, name: str, wide: bool) -> str:
    """By rate: the objective that is missed most, over what it may be."""
    with canvas(wide=wide, height_inches=2.8) as (figure, axes):
        axes.axhline(1.0, color=ROLES["muted"], lw=0.9)
        for one in table:
            role, dash = DRAWN[one.design.name]
            points = [(each.rate, each.pressure) for each in one.tried if each.pressure is not None]
            axes.plot(
                [rate for rate, _ in points],
                [pressure for _, pressure in points],
                color=ROLES[role],
                lw=1.7,
                dashes=dash or (None, None),
            )
        axes.set_ylim(0, HIGHEST)
        axes.set_xlim(0, None)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}/s"))
        margins(figure, wide=wide)
        return svg(
            figure, name=f"pressures-{name}-{size(wide)}", label="How near the objectives each design is"
        )
