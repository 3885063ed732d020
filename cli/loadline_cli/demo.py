"""
`loadline demo`: runs a demonstration, shows it while it runs, and writes a report.

This module doesn't know what happens in a demonstration. The virtual one is part of the
simulator and works from any installation. The live one is in a checkout's `demos/` and is
imported from there by name, because nothing that is installed may depend on it. Both
return a recording of the row and the facts about the run that the report needs.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from loadline_cli.exits import CommandError, Exit
from loadline_cli.live_view import LiveView
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_cli.report_files import write_report
from loadline_sim.demo import demonstrations
from loadline_sim.plant.recordings import Recording
from loadline_sim.progress import Progress
from loadline_sim.reports import formats, pages
from loadline_sim.reports.checks import Check, kept, late
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.runs import Run
from loadline_sim.reports.snapshots import Show

Recorded = tuple[Recording, Run]
Virtual = Callable[[int, Progress], Recorded]
"""Runs in virtual time from a seed, and reports its progress."""

Live = Callable[[int, Progress, Show], Recorded]
"""The same with real processes: preparations go to the progress, snapshots of the row to the view."""

LIVE_MODULE = "demos.power.demonstrations"


def demo(*, virtual: bool, out: Path, seed: int, open_report: bool, output: Output) -> Exit:
    """Run a demonstration and write its report into `out`; FAILURE if a promise was broken."""
    recording, run = (
        run_virtually(seed, partial(_with_journal, out)) if virtual else run_live(seed, live_runner())
    )
    found = found_in(recording, run)
    print_checks(found, output)
    write_report(lambda folder: pages.write(found, folder), out, open_report=open_report)
    return Exit.OK if kept(found.checks) else Exit.FAILURE


def _with_journal(out: Path, seed: int, progress: Progress) -> Recorded:
    """Run in virtual time, with what the coordinators decided in a journal beside the report."""
    path = out / "journal.jsonl"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as journal:
            recorded = demonstrations.run_virtual(
                seed, progress, journalled=lambda line: print(line, file=journal)
            )
    except OSError as error:
        raise CommandError(
            f"can't write `{path}`: {(error.strerror or 'unknown error').lower()}",
            hint="choose another folder with `--out`",
        ) from error
    aside().print(f"journal: {path}", soft_wrap=True)
    return recorded


def live_runner(module: str = LIVE_MODULE) -> Live:
    """The function that runs the live demo; CommandError if this is no checkout."""
    _find_checkout()
    try:
        return cast(Live, importlib.import_module(module).run_live)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise
        raise CommandError(
            "the live demo needs a checkout of the repository: it builds an API server and fake GPUs",
            hint="run `make demo` in a checkout, or `loadline demo --virtual` here",
        ) from error


def _find_checkout() -> None:
    """Make `demos` importable if this file is in a checkout; a `demos` of another folder is not trusted."""
    root = Path(__file__).parents[2]
    if (root / "demos" / "__init__.py").is_file() and str(root) not in sys.path:
        sys.path.append(str(root))


def run_virtually(seed: int, runner: Virtual) -> Recorded:
    """Run in virtual time, with a progress bar on stderr."""
    with progress_bars() as progress:
        return runner(seed, progress)


def run_live(seed: int, runner: Live) -> Recorded:
    """Run live: progress bars during the preparations, then the live view of the row."""
    with LiveView(aside()) as view:
        return runner(seed, view.prepare, view.show)


def print_checks(found: Findings, output: Output) -> None:
    """Print the checks on stdout, as a table or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(pages.summary_of(found))
        return
    rows = table("check", "kind", "value", "goal", "passed", right=frozenset({"value", "goal"}))
    for check in found.checks:
        kind = "timing" if check.timing else "promise"
        rows.add_row(check.name, kind, formats.number(check.value), check.goal, verdict(check))
    screen().print(rows)
    missed = len(late(found.checks))
    if missed:
        aside().print(
            f"{missed} of the timings missed {'its goal' if missed == 1 else 'their goals'}; the machine's"
            f" load average was {found.run.load:.1f} on {found.run.cores} cores. Timings fail no run."
        )


def verdict(check: Check) -> str:
    """Whether a check passed, with the reason if it did not."""
    if check.ok is None:
        return f"not measured: {check.reason}"
    return "yes" if check.ok else f"no: {check.reason}"
