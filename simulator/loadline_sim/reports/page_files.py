"""
The files of every report: `report.html` for people, `summary.json` for programs.

The page is one file that loads no other, and is readable in light and dark mode, on a phone and in
print. Its templates share `base.html` and one style sheet; what a report says is in its own template.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from loadline_sim.reports import formats

PAGE, SUMMARY = "report.html", "summary.json"

FILTERS = (
    "kilowatts",
    "percent",
    "change",
    "seconds",
    "minutes",
    "number",
    "prose",
    "gibibytes",
    "megabytes",
    "sized",
)
"""The functions of `formats` that templates use."""


def write(folder: Path, *, page: str, summary: Mapping[str, object]) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / PAGE, folder / SUMMARY
    paths[0].write_text(page, "utf-8")
    paths[1].write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return paths


def rendered(template: str, **values: object) -> str:
    """A template of this package, filled; an undefined name in it is an error."""
    environment = Environment(
        loader=PackageLoader("loadline_sim.reports"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        environment.filters[name] = getattr(formats, name)
    return environment.get_template(template).render(**values)


def drawings(drawn: Callable[[bool], Mapping[str, str]]) -> dict[str, tuple[Markup, Markup]]:
    """Every plot by its name, as SVG for a wide and for a narrow page; `drawn` is told which."""
    wide, narrow = drawn(True), drawn(False)
    return {name: (Markup(wide[name]), Markup(narrow[name])) for name in wide}
