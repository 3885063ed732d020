"""
`loadline demo`: runs a demonstration, shows it while it goes on, and leaves a report.

What happens in a demonstration is not known here. The virtual one comes with the
simulator and works from any installation; the live one lies in a checkout's `demos/` and
is looked for there, by name, because nothing that is installed may depend on it. Both
give a recording and what is to be told of the run.
"""

import importlib
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import cast

from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from loadline_cli.exits import CommandError, Exit
from loadline_cli.live_view import LiveView
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_sim.demo import demonstrations
from loadline_sim.plant.recordings import Recording
from loadline_sim.reports import formats, pages
from loadline_sim.reports.checks import Check, kept
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.runs import Run
from loadline_sim.reports.snapshots import Progress, Show

Recorded = tuple[Recording, Run]
Virtual = Callable[[int, Progress], Recorded]
"""Runs in virtual time with a seed, and tells how far it is."""

Live = Callable[[int, Progress, Show], Recorded]
"""The same on real parts: what is prepared goes to the progress, the row itself to the view."""

LIVE_MODULE = "demos.power.demonstrations"


def demo(*, virtual: bool, out: Path, seed: int, open_report: bool, output: Output) -> Exit:
    """Run a demonstration and write its report into `out`; FAILURE when a check was missed."""
    recording, run = (
        run_virtually(seed, demonstrations.run_virtual) if virtual else run_live(seed, live_runner())
    )
    found = found_in(recording, run)
    page, summary = write(found, out)
    tell(found, output)
    aside().print(f"report: {page}\nfigures: {summary}", soft_wrap=True)
    if open_report:
        webbrowser.open(page.resolve().as_uri())
    return Exit.OK if kept(found.checks) else Exit.FAILURE


def live_runner(module: str = LIVE_MODULE) -> Live:
    """What runs the row on real parts; CommandError where there is no checkout."""
    _find_checkout()
    try:
        return cast(Live, importlib.import_module(module).run_live)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise
        raise CommandError(
            "the live demo needs a checkout, for it builds an API server and fake GPUs",
            hint="run `make demo` in a clone of the repository, or `loadline demo --virtual` here",
        ) from error


def _find_checkout() -> None:
    """Let `demos` be imported where this very file lies in a checkout; another folder's is not trusted."""
    root = Path(__file__).parents[2]
    if (root / "demos" / "__init__.py").is_file() and str(root) not in sys.path:
        sys.path.append(str(root))


def run_virtually(seed: int, runner: Virtual) -> Recorded:
    """Run in virtual time behind a progress bar."""
    with _bars() as bars:
        return runner(seed, _advance(bars))


def run_live(seed: int, runner: Live) -> Recorded:
    """Run live: bars while things are prepared, then the row."""
    with LiveView(aside()) as view:
        return runner(seed, view.prepare, view.show)


def write(found: Findings, out: Path) -> tuple[Path, Path]:
    """The report's two files; CommandError where they can't be written."""
    try:
        return pages.write(found, out)
    except OSError as error:
        raise CommandError(
            f"the report can't be written into `{out}`: {(error.strerror or 'unknown error').lower()}",
            hint="name another folder with `--out`",
        ) from error


def tell(found: Findings, output: Output) -> None:
    """The checks on stdout."""
    if output is Output.JSON:
        print_json(pages.summary_of(found))
        return
    rows = table("check", "value", "goal", "kept", right=frozenset({"value", "goal"}))
    for one in found.checks:
        rows.add_row(one.name, formats.number(one.value), one.goal, verdict(one))
    screen().print(rows)


def verdict(check: Check) -> str:
    """Whether a check was kept, in words."""
    if check.ok is None:
        return f"not measured: {check.reason}"
    return "yes" if check.ok else f"no: {check.reason}"


def _bars() -> Bars:
    return Bars(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
        console=aside(), transient=True,
    )  # fmt: skip


def _advance(bars: Bars) -> Progress:
    """A progress that has one bar for each thing that is being done."""
    tasks: dict[str, TaskID] = {}

    def progress(what: str, share: float) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=1.0)
        bars.update(tasks[what], completed=share)

    return progress
