"""
The style of every plot of a report: one palette, one font size, one SVG format.

Plots are drawn once and shown in light and dark mode, so they contain no fixed colours: each
role has a placeholder that becomes a CSS variable of the page. The palette is Okabe and Ito's,
whose colours stay distinct under the common kinds of colour blindness; lines also differ in
weight or dash, and have a label at their end.

Text stays text (searchable, in the page's font). Ids are prefixed, since several
drawings live in one document.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

ROLES = {
    "ink": "#010101",
    "muted": "#020202",
    "rule": "#030303",
    "paper": "#040404",
    "band": "#050505",
    "row": "#060606",
    "uncapped": "#070707",
    "budget": "#080808",
    "high": "#090909",
    "low": "#0a0a0a",
    "heat": "#0b0b0b",
    "warn": "#0c0c0c",
}
"""Placeholder colours by role; the page's style sheet has a variable `--<role>` for each."""

WIDE_INCHES, NARROW_INCHES = 9.6, 4.2
"""Two drawings of each plot: for a screen or paper, and for a telephone."""

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "loadline",
    "font.size": 9.0,
    "axes.edgecolor": ROLES["rule"],
    "axes.labelcolor": ROLES["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": ROLES["rule"],
    "grid.linewidth": 0.6,
    "text.color": ROLES["ink"],
    "xtick.color": ROLES["rule"],
    "ytick.color": ROLES["rule"],
    "xtick.labelcolor": ROLES["muted"],
    "ytick.labelcolor": ROLES["muted"],
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}


@contextmanager
def canvas(*, wide: bool, height_inches: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, in the house's style."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDE_INCHES if wide else NARROW_INCHES, height_inches))
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def svg(figure: Figure, *, name: str, label: str) -> str:
    """The plot as an SVG element; `label` is its description for screen readers."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r'\b(?:width|height)="[^"]+pt" ', "", text, count=2)
    for role, colour in ROLES.items():
        text = text.replace(colour, f"var(--{role})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
