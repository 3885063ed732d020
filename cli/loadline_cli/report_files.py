"""
Writes a report into a folder, says where it is, and opens it in a browser if asked to.
"""

import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadline_cli.exits import CommandError
from loadline_cli.outputs import Output, aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Where the answer goes."""

    out: Path
    open_report: bool
    output: Output


def write_report(write: Callable[[Path], tuple[Path, Path]], out: Path, *, open_report: bool) -> None:
    """Write page and summary into `out` by `write`; CommandError if they can't be written."""
    try:
        page, summary = write(out)
    except OSError as error:
        raise CommandError(
            f"can't write the report into `{out}`: {(error.strerror or 'unknown error').lower()}",
            hint="choose another folder with `--out`",
        ) from error
    aside().print(f"report: {page}\nfigures: {summary}", soft_wrap=True)
    if open_report:
        webbrowser.open(page.resolve().as_uri())
