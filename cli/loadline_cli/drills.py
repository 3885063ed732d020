"""
`loadline drill`: orders a domain to its safe limits for some seconds, and compares the result to its status.

The order is an annotation on the PowerDomain. The domain's coordinator holds the limits, measures, and
writes the result into the status; this command only writes the order, waits and reads. So it can't
raise a limit, and if it is killed the drill ends by itself. However the command ends, it removes the
annotation, which ends a running drill at once.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from loadline_api.drills import DrillStatus, DrillText
from loadline_api.names import DRILL_ANNOTATION
from loadline_api.visible_texts import visible
from loadline_cli import drill_reports
from loadline_cli.clusters import Cluster, Refused, Unreachable
from loadline_cli.drill_plans import Plan, plan
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.questions import confirm
from loadline_policies.power.protocol.drill_states import DrillOutcome

ASK_EVERY_S: Final = 1.0
"""How often the status is read. The coordinator writes it once a second at most."""

TAKEN_WITHIN_S: Final = 10.0
"""How long a running coordinator may take to accept an order: a watch, a decision, a write. Chosen."""

ENDED_WITHIN_S: Final = 15.0
"""How long to wait for the outcome after a drill's time: as long as a new coordinator needs. Chosen."""

MARKDOWN: Final = ".md"


def drill(
    name: str,
    *,
    cluster: Callable[[], Cluster],
    seconds: int,
    yes: bool,
    dry_run: bool,
    report: Path | None,
    output: Output,
) -> Exit:
    """Drill a domain; FAILURE if a promise was not met or is unknown."""
    found = cluster()
    planned = _planned(found, name, seconds)
    if dry_run:
        _print_plan(planned, output)
        return Exit.OK
    _announce(planned)
    confirm(
        "Hold the domain at its safe limits now?", yes=yes, instead="`--yes`, or `--dry-run` to see the plan"
    )
    status = _run(found, planned)
    if report is not None:
        _write(report, planned, status)
    _print(planned, status, output)
    return Exit.OK if drill_reports.met(drill_reports.checks(planned, status)) else Exit.FAILURE


def _planned(cluster: Cluster, name: str, seconds: int) -> Plan:
    try:
        sight = cluster.domain(name)
    except Refused as error:
        if error.status != 404:
            raise
        known = cluster.domains()
        hint = f"use one of: {', '.join(known)}" if known else "the cluster has no PowerDomain; create one"
        raise CommandError(f"there is no PowerDomain `{name}`", hint=hint) from error
    capacities = cluster.capacities(sight.domain.status.members)
    return plan(sight.domain, capacities, seconds=seconds, now=sight.at)


def _print_plan(planned: Plan, output: Output) -> None:
    if output is Output.JSON:
        print_json(drill_reports.as_json(planned))
        return
    _announce(planned, to_screen=True)


def _announce(planned: Plan, *, to_screen: bool = False) -> None:
    rows = table("", "")
    rows.show_header = False
    for label, value in drill_reports.plan_rows(planned):
        rows.add_row(label, value)
    (screen() if to_screen else aside()).print(rows)


def _run(cluster: Cluster, planned: Plan) -> DrillStatus:
    """Order the drill, wait for its end, and remove the order however the wait ends."""
    order = str(DrillText(cluster.domain(planned.domain).at, planned.seconds))
    try:
        cluster.annotate(planned.domain, DRILL_ANNOTATION, order)
        with _progress(planned) as show:
            return _wait(cluster, planned, order, show=show)
    finally:
        try:
            cluster.take_back(planned.domain, DRILL_ANNOTATION, order)
        except CommandError as error:
            aside().print(
                f"the order couldn't be removed ({error.message}); the drill ends by itself after"
                f" {planned.seconds} s, and the coordinator ignores an old order",
                soft_wrap=True,
            )


Show = Callable[[float, DrillStatus | None], None]


def _wait(cluster: Cluster, planned: Plan, order: str, *, show: Show) -> DrillStatus:
    """Wait for the drill's result; CommandError if no coordinator accepts the order."""
    began_s = time.monotonic()
    last: DrillStatus | None = None
    while True:
        now_s = time.monotonic() - began_s
        try:
            found = cluster.domain(planned.domain).domain.status.drill
            last = found if found is not None and found.order == order else last
        except Unreachable as error:
            if now_s >= TAKEN_WITHIN_S + planned.seconds + ENDED_WITHIN_S:
                raise
            aside().print(f"{error.message}; retrying", soft_wrap=True)
        show(now_s, last)
        if last is not None and last.outcome == DrillOutcome.REFUSED:
            raise CommandError(
                f"the coordinator refused the drill: {last.message}",
                hint="no limit was changed",
            )
        if last is not None and last.outcome != DrillOutcome.HOLDING:
            return last
        if last is None and now_s >= TAKEN_WITHIN_S:
            raise CommandError(
                f"no coordinator accepted the order within {TAKEN_WITHIN_S:.0f} s; the order is removed",
                hint=f"check that the agent on {planned.coordinator} runs; it may have lowered limits without"
                " reporting it",
            )
        if last is not None and now_s >= TAKEN_WITHIN_S + planned.seconds + ENDED_WITHIN_S:
            return last  # incomplete: promises without a value count as not met
        time.sleep(ASK_EVERY_S)


@contextmanager
def _progress(planned: Plan) -> Iterator[Show]:
    """A progress bar on a terminal; elsewhere a line whenever the state changes."""
    console = aside()
    if not console.is_terminal or console.is_dumb_terminal:
        yield _lines(planned)
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        task: TaskID = bars.add_task("ordering", total=planned.seconds)
        began_s: float | None = None

        def show(now_s: float, drill: DrillStatus | None) -> None:
            nonlocal began_s
            if drill is not None and began_s is None:
                began_s = now_s
            done = min(planned.seconds, now_s - began_s) if began_s is not None else 0.0
            bars.update(task, description=_state(drill), completed=done)

        yield show


def _lines(planned: Plan) -> Show:
    printed = ""

    def show(now_s: float, drill: DrillStatus | None) -> None:
        nonlocal printed
        line = _state(drill)
        if line != printed:
            aside().print(f"{now_s:3.0f} s  {line}", soft_wrap=True)
            printed = line

    return show


def _state(drill: DrillStatus | None) -> str:
    if drill is None:
        return "ordered; waiting for the coordinator to accept"
    if drill.gpus is None:
        return visible(drill.outcome)
    return f"{visible(drill.outcome)}: {drill.nodes_at_safe} of {drill.nodes} nodes at their safe limits"


def _print(planned: Plan, status: DrillStatus, output: Output) -> None:
    if output is Output.JSON:
        print_json(drill_reports.as_json(planned, status))
        return
    console = screen()
    console.print(drill_reports.nodes_table(status))
    if drill_reports.unlisted(status):
        console.print(drill_reports.unlisted(status), soft_wrap=True)
    console.print()
    console.print(drill_reports.checks_table(drill_reports.checks(planned, status)))
    if drill_reports.remark(status):
        console.print(f"\n{drill_reports.remark(status)}", soft_wrap=True)
    if status.message:
        console.print(f"{status.outcome}: {status.message}", soft_wrap=True)


def _write(path: Path, planned: Plan, status: DrillStatus) -> None:
    as_markdown = path.suffix == MARKDOWN
    found = drill_reports.as_json(planned, status)
    text = drill_reports.as_markdown(planned, status) if as_markdown else json.dumps(found, indent=2) + "\n"
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        aside().print(f"the report can't be written to {path}: {error.strerror}", soft_wrap=True)
