"""
Where a command prints: data to stdout, everything else to stderr.

So `loadline … -o json | jq` works while progress is shown. rich leaves out colours if
NO_COLOR is set or the output is not a terminal, and no table depends on colour alone.
Text from a cluster is printed with its control characters escaped: see `consoles`.
"""

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from loadline_api.visible_texts import visible_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Output(StrEnum):
    """The format of the data on stdout."""

    TABLE = "table"
    JSON = "json"


def screen() -> "Console":
    """stdout, for data."""
    from loadline_cli.consoles import VisibleConsole

    return VisibleConsole()


def aside() -> "Console":
    """stderr, for progress and notes."""
    from loadline_cli.consoles import VisibleConsole

    return VisibleConsole(stderr=True)


def table(*columns: str, right: frozenset[str] = frozenset()) -> "Table":
    """An empty table in the style of this program; the columns named in `right` are right-aligned."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def print_json(value: object) -> None:
    """Print one JSON document on stdout, with control characters escaped."""
    print(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))
