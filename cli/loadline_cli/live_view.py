"""
The row on a terminal while the demo runs.

A screen is redrawn from one `Snapshot` and remembers nothing, so that a resized window
or a missed second leaves no trace. What must be seen at 80 × 24 comes first: watts
against the budget, who is capped, what the latencies cost. More lines make the curve
and the journal longer, more columns put the journal beside the acts.

Where nobody looks (a pipe, a CI log) `LiveView` prints a line when something changes.
No meaning is told by colour alone. What the numbers are is in `snapshots`.
"""

from types import TracebackType
from typing import Self

from loadline_policies.power.breakers import WARM
from loadline_sim.reports.snapshots import ActNow, ServiceNow, Snapshot, Stage
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loadline_cli import charts

WIDE_COLUMNS = 120
"""From here on the journal stands beside the acts; chosen."""

FLOOR_LOAD = 0.6
"""The curve begins here: an idle row draws about 70 % of its budget, for hosts don't sleep."""

CEILING_LOADS = (1.1, 1.3)
"""The scale's end: the second one for rows that went above the first."""

STEPS_A_COLUMN = 2
"""Steps of the history in one column of the curve: two and a half minutes on 80 columns; chosen."""

LINES_FOR_A_RULE = 6
"""A lower curve has no line of its own for the budget."""

TABLE_COLUMNS = 100
"""A table wider than this is hard to read along its lines; chosen."""

PLAIN_EVERY_S = 10.0
"""Without a terminal a line is due so often even if nothing changed; chosen."""

_MARKS = {Stage.DONE: "✓", Stage.RUNNING: "▶", Stage.WAITING: " "}


class LiveView:
    """Shows snapshots as they come: redrawn in place on a terminal, else as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last: Snapshot | None = None

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

    def show(self, snapshot: Snapshot) -> None:
        """Show the row as it is now."""
        if self._live is not None:
            self._live.update(Frame(snapshot), refresh=True)
        elif is_news(snapshot, self._last):
            self._console.print(plain_line(snapshot, self._last), soft_wrap=True)
            self._last = snapshot


def is_news(snapshot: Snapshot, last: Snapshot | None) -> bool:
    """Whether a line is due: act, mode, level, trips or journal changed, or it has been a while."""
    if last is None or snapshot.at_s - last.at_s >= PLAIN_EVERY_S:
        return True
    before, now = ((s.act, s.mode, s.level, s.trips, s.journal[-1:]) for s in (last, snapshot))
    return (before[0] and before[0].number) != (now[0] and now[0].number) or before[1:] != now[1:]


def plain_line(snapshot: Snapshot, last: Snapshot | None = None) -> str:
    """The row in one line; the journal's newest one goes with it when it is new."""
    act = f"act {snapshot.act.number} {snapshot.act.title}" if snapshot.act else "between acts"
    line = (
        f"{clock(snapshot.at_s)}  {snapshot.row_watts / 1e3:6.1f} kW  {snapshot.load:6.1%}  "
        f"{snapshot.mode} {snapshot.level}  heat {snapshot.heat:.0%}  trips {snapshot.trips}  {act}"
    )
    newest = snapshot.journal[-1:]
    is_new = newest and (last is None or newest != last.journal[-1:])
    return f"{line}  | {newest[0].text}" if is_new else line


class Frame:
    """One snapshot drawn to the size of the console."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        lines = self._lines(console, width, height)
        yield Text("\n").join(line[:width] if len(line) > width else line for line in lines[:height])

    def _lines(self, console: Console, width: int, height: int) -> list[Text]:
        """All lines from top to bottom. What is left of the height goes to the curve and the journal."""
        snapshot = self._snapshot
        services = _rendered(console, services_table(snapshot.services), min(width, TABLE_COLUMNS))
        acts = [act_line(act, width) for act in snapshot.acts]
        wide = width >= WIDE_COLUMNS
        fixed = 6 + 1 + len(services) + 1 + len(acts)
        spare = max(height - fixed, 0)
        chart_lines = min(max(3, spare * 2 // 3), 12) if wide else min(max(3, spare // 2), 12)
        journal_lines = len(acts) if wide else max(spare - chart_lines - 1, 0)
        journal = _journal(snapshot, journal_lines)
        lines = [
            headline(snapshot, width),
            Text(),
            watts_line(snapshot, width),
            *budget_bar(snapshot, width),
            *history(snapshot, width, chart_lines),
            Text(),
            *services,
            Text(),
        ]
        if wide:
            return [*lines, *_beside(acts, journal, width)]
        return [*lines, *acts, *([Text(), *journal] if journal else [])]


def headline(snapshot: Snapshot, width: int) -> Text:
    """Whose row this is, and the time."""
    left = Text.assemble(
        (snapshot.domain, "bold"),
        f"  {snapshot.servers} servers on the power of {snapshot.provisioned_servers}",
    )
    return _between(left, Text(clock(snapshot.at_s), style="dim"), width)


def watts_line(snapshot: Snapshot, width: int) -> Text:
    """Watts against the budget, the level, and the breaker's heat."""
    left = Text.assemble(
        (f"{snapshot.row_watts / 1e3:5.1f} kW", f"bold {_style(snapshot, snapshot.load)}"),
        f" of {snapshot.budget_watts / 1e3:.1f} kW  ",
        (f"{snapshot.load:.1%}", "bold"),
        "  ",
        (f" {snapshot.mode} ", "reverse"),
        f" {snapshot.level}",
        (f"  {alarm(snapshot)}", "bold red"),
    )
    heat = Text.assemble(
        "heat ",
        charts.bar(snapshot.heat, 10, style="red" if snapshot.heat >= WARM else "yellow"),
        f" {snapshot.heat:4.0%}",
    )
    return _between(left, heat, width)


def alarm(snapshot: Snapshot) -> str:
    """A word for what must not be, since colour alone says nothing; empty where all is well."""
    if snapshot.trips:
        return f"TRIPPED {snapshot.trips}×"
    return "ABOVE" if snapshot.load > 1.0 else ""


def budget_bar(snapshot: Snapshot, width: int) -> list[Text]:
    """The draw as a bar from nothing to a little above the budget, and its scale."""
    ceiling = _ceiling(snapshot)
    marks = [*snapshot.thresholds, 1.0]
    names = [f"{threshold:.0%}" for threshold in snapshot.thresholds] + ["budget"]
    shares = [mark / ceiling for mark in marks]
    drawn = charts.bar(snapshot.load / ceiling, width, style=_style(snapshot, snapshot.load), marks=shares)
    labels = [(share, name) for share, name in zip(shares, names, strict=True)]
    return [drawn, charts.scale([(0.0, "0"), *labels], width)]


def history(snapshot: Snapshot, width: int, height: int) -> list[Text]:
    """The last minutes as a curve, with what its ends are."""
    ceiling, gutter = _ceiling(snapshot), 6
    columns = max(width - gutter, 10)
    rule = int((ceiling - 1.0) / (ceiling - FLOOR_LOAD) * height) if height >= LINES_FOR_A_RULE else -1
    loads = [watts / snapshot.budget_watts for watts in snapshot.history_watts]
    newest = round(snapshot.at_s / snapshot.history_step_s) % STEPS_A_COLUMN
    shown = charts.condensed(loads, STEPS_A_COLUMN, newest)[-columns:]
    drawn = charts.curve(
        shown,
        width=columns,
        height=height,
        low=FLOOR_LOAD,
        high=ceiling,
        style=lambda load: _style(snapshot, load),
        rule=rule,
    )
    axis = [""] * height
    axis[0], axis[-1] = f"{ceiling:.0%}", f"{FLOOR_LOAD:.0%}"
    if rule > 0:
        axis[rule] = "100%"
    lines = [Text.assemble((f"{name:>5} ", "dim"), line) for name, line in zip(axis, drawn, strict=True)]
    past = f"{clock(len(shown) * STEPS_A_COLUMN * snapshot.history_step_s)} ago"
    foot = _between(Text(past), Text("now"), min(max(len(shown), len(past) + 5), columns))
    return [*lines, Text(" " * (width - len(foot)) + foot.plain, style="dim")]


def services_table(services: tuple[ServiceNow, ...]) -> Table:
    """Who is capped, and what it costs beside the uncapped row."""
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("service", "priority"):
        table.add_column(name, no_wrap=True)
    for name in ("capped", "clock", "P50", "vs uncapped", "P99", "vs uncapped"):
        table.add_column(name, justify="right", no_wrap=True)
    for service in services:
        table.add_row(
            Text(service.name, style="bold"),
            service.priority,
            Text(f"{service.capped} of {service.servers}", style="yellow" if service.capped else ""),
            f"{service.clock_mhz:.0f} MHz",
            seconds(service.p50_s),
            change(service.p50_s, service.uncapped_p50_s),
            seconds(service.p99_s),
            change(service.p99_s, service.uncapped_p99_s),
        )
    return table


def act_line(act: ActNow, width: int) -> Text:
    """An act, how far it is, and what came of it."""
    style = {Stage.DONE: "", Stage.RUNNING: "bold", Stage.WAITING: "dim"}[act.stage]
    line = Text(f"{_MARKS[act.stage]} {act.number} {act.title:<22}  ", style=style)
    if act.stage is Stage.RUNNING:
        line.append_text(charts.bar(act.share, 10, style="cyan")).append("  ")
    line.append(act.note, style="" if act.stage is Stage.RUNNING else "dim")
    line.truncate(width, overflow="ellipsis")
    return line


def clock(at_s: float) -> str:
    """Seconds as minutes and seconds."""
    return f"{int(at_s) // 60:02d}:{int(at_s) % 60:02d}"


def seconds(value: float | None) -> str:
    """A latency with as many digits as one can tell apart."""
    if value is None:
        return "–"
    return f"{value * 1e3:.0f} ms" if value < 1.0 else f"{value:.2f} s"


def change(value: float | None, uncapped: float | None) -> str:
    """How much longer than uncapped, in percent."""
    return "–" if value is None or not uncapped else f"{value / uncapped - 1.0:+.1%}"


def _style(snapshot: Snapshot, load: float) -> str:
    """Cyan below the lowest threshold, yellow above it, red above the budget."""
    if load > 1.0:
        return "red"
    return "yellow" if load > min(snapshot.thresholds, default=1.0) else "cyan"


def _ceiling(snapshot: Snapshot) -> float:
    highest = max([snapshot.load, *(watts / snapshot.budget_watts for watts in snapshot.history_watts)])
    return CEILING_LOADS[0] if highest <= CEILING_LOADS[0] else CEILING_LOADS[1]


def _journal(snapshot: Snapshot, count: int) -> list[Text]:
    newest = snapshot.journal[-count:] if count > 0 else ()
    return [Text.assemble((f"{clock(line.at_s)} ", "dim"), line.text) for line in newest]


def _rendered(console: Console, table: Table, width: int) -> list[Text]:
    lines = console.render_lines(table, console.options.update(width=width, height=None), pad=False)
    return [Text.assemble(*((part.text, part.style or "") for part in line)) for line in lines]


def _between(left: Text, right: Text, width: int) -> Text:
    return Text.assemble(left, " " * max(width - len(left) - len(right), 1), right)


def _beside(left: list[Text], right: list[Text], width: int) -> list[Text]:
    column = width * 3 // 5
    lines = []
    for i, line in enumerate(left):
        shown = line.copy()
        shown.truncate(column - 2, overflow="ellipsis", pad=True)
        note = right[i].copy() if i < len(right) else Text()
        note.truncate(width - column, overflow="ellipsis")
        lines.append(Text.assemble(shown, "  ", note))
    return lines
