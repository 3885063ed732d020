"""
The row on a terminal while the demo runs.

Each frame is drawn from one `Snapshot` alone, so that a resized window or a missed second
leaves no trace. What must be visible at 80 × 24 comes first: watts against the budget,
which services are capped, what that costs in latency. More lines make the curve and the
journal longer, more columns put the journal beside the acts.

If stderr is not a terminal (a pipe, a CI log), `LiveView` prints a line when something
changes. No meaning depends on colour alone. `snapshots` explains the numbers.
"""

from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loadline_cli import charts, panels
from loadline_sim.reports.snapshots import Snapshot

WIDE_COLUMNS = 120
"""From this width on the journal is beside the acts; chosen."""

TABLE_COLUMNS = 100
"""A table wider than this is hard to read along its lines; chosen."""

PLAIN_EVERY_S = 10.0
"""Without a terminal a line is printed at least this often; chosen."""


class LiveView:
    """Shows snapshots: redrawn in place on a terminal, else as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last: Snapshot | None = None
        self._preparing = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def prepare(self, what: str, share: float) -> None:
        """Show the progress of a step that comes before the row runs."""
        line = Text.assemble(f"{what}  ", charts.bar(share, 30, style="cyan"), f" {share:4.0%}")
        if self._live is not None:
            self._live.update(line, refresh=True)
        elif what != self._preparing:
            self._console.print(what, soft_wrap=True)
            self._preparing = what

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the view from a snapshot; without a terminal, print a line if it differs from the last."""
        if self._live is not None:
            self._live.update(Frame(snapshot), refresh=True)
        elif is_news(snapshot, self._last):
            self._console.print(plain_line(snapshot, self._last), soft_wrap=True)
            self._last = snapshot


def is_news(snapshot: Snapshot, last: Snapshot | None) -> bool:
    """Whether to print a line: act, mode, level, trips or journal changed, or PLAIN_EVERY_S have passed."""
    if last is None or snapshot.at_s - last.at_s >= PLAIN_EVERY_S:
        return True
    before, now = ((s.act, s.mode, s.level, s.trips, s.journal[-1:]) for s in (last, snapshot))
    return (before[0] and before[0].number) != (now[0] and now[0].number) or before[1:] != now[1:]


def plain_line(snapshot: Snapshot, last: Snapshot | None = None) -> str:
    """The row in one line, followed by the journal's newest entry if that is new."""
    act = f"act {snapshot.act.number} {snapshot.act.title}" if snapshot.act else "between acts"
    line = (
        f"{panels.clock(snapshot.at_s)}  {snapshot.row_watts / 1e3:6.1f} kW  {snapshot.load:6.1%}  "
        f"{snapshot.mode} {snapshot.level}  heat {snapshot.heat:.0%}  trips {snapshot.trips}  {act}"
    )
    newest = snapshot.journal[-1:]
    is_new = newest and (last is None or newest != last.journal[-1:])
    return f"{line}  | {newest[0].text}" if is_new else line


class Frame:
    """A rich renderable: one snapshot, laid out for the size of the console."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        lines = self._lines(console, width=width, height=height)
        yield Text("\n").join(line[:width] if len(line) > width else line for line in lines[:height])

    def _lines(self, console: Console, *, width: int, height: int) -> list[Text]:
        """All lines from top to bottom; curve and journal share the height that the rest leaves."""
        snapshot = self._snapshot
        services = _rendered(
            console, panels.services_table(snapshot.services), width=min(width, TABLE_COLUMNS)
        )
        acts = [panels.act_line(act, width) for act in snapshot.acts]
        wide = width >= WIDE_COLUMNS
        fixed = 6 + 1 + len(services) + 1 + len(acts)
        spare = max(height - fixed, 0)
        chart_lines = min(max(3, spare * 2 // 3), 12) if wide else min(max(3, spare // 2), 12)
        journal_lines = len(acts) + spare - chart_lines if wide else max(spare - chart_lines - 1, 0)
        journal = _journal(snapshot, journal_lines)
        lines = [
            panels.headline(snapshot, width),
            Text(),
            panels.watts_line(snapshot, width),
            *panels.budget_bar(snapshot, width),
            *panels.history(snapshot, width=width, height=chart_lines),
            Text(),
            *services,
            Text(),
        ]
        if wide:
            return [*lines, *_beside(acts, journal, width=width)]
        return [*lines, *acts, *([Text(), *journal] if journal else [])]


def _journal(snapshot: Snapshot, count: int) -> list[Text]:
    newest = snapshot.journal[-count:] if count > 0 else ()
    return [Text.assemble((f"{panels.clock(line.at_s)} ", "dim"), line.text) for line in newest]


def _rendered(console: Console, table: Table, *, width: int) -> list[Text]:
    lines = console.render_lines(table, console.options.update(width=width, height=None), pad=False)
    return [Text.assemble(*((part.text, part.style or "") for part in line)) for line in lines]


def _beside(left: list[Text], right: list[Text], *, width: int) -> list[Text]:
    column = width * 3 // 5
    lines = []
    for i in range(max(len(left), len(right))):
        shown = left[i].copy() if i < len(left) else Text()
        shown.truncate(column - 2, overflow="ellipsis", pad=True)
        note = right[i].copy() if i < len(right) else Text()
        note.truncate(width - column, overflow="ellipsis")
        lines.append(Text.assemble(shown, "  ", note))
    return lines
