"""
Progress bars on stderr, one for each step that a command reports.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from loadline_cli.outputs import aside
from loadline_sim.progress import Progress


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars that are gone when the work ends; a new step gets a new bar. Only a terminal shows any."""
    console = aside()
    bars = Bars(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def progress(what: str, share: float) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=1.0)
        bars.update(tasks[what], completed=share)

    with bars:
        yield progress
