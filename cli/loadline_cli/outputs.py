"""
Where a command's words go: data to stdout, all else to stderr.

So `loadline … -o json | jq` works while progress is shown. rich leaves out colours where
NO_COLOR is set or nobody looks; no table here says by colour alone what it says. What a
cluster says does nothing but show: see `consoles`.
"""

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from loadline_api.visible_texts import visible_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Output(StrEnum):
    """What is printed on stdout."""

    TABLE = "table"
    JSON = "json"


def screen() -> "Console":
    """stdout, for data."""
    from loadline_cli.consoles import VisibleConsole

    return VisibleConsole()


def aside() -> "Console":
    """stderr, for progress and remarks."""
    from loadline_cli.consoles import VisibleConsole

    return VisibleConsole(stderr=True)


def table(*columns: str, right: frozenset[str] = frozenset()) -> "Table":
    """An empty table in the house's style; the columns named in `right` hold numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    print(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))
