"""
The parts of the live view, each a pure function from a snapshot to lines of text.

A line never says by colour alone what it says: a row above its budget is red and says
ABOVE, a running act is bold and has an arrow. Which parts are shown, and how many lines
each may take, is up to `live_view`.
"""

from rich.table import Table
from rich.text import Text

from loadline_cli import charts
from loadline_policies.power.safety.breakers import WARM
from loadline_sim.reports.snapshots import ActNow, ServiceNow, Snapshot, Stage

FLOOR_LOAD = 0.6
"""The curve begins here: an idle row draws about 70 % of its budget, for hosts don't sleep."""

CEILING_LOADS = (1.1, 1.3)
"""The scale's end: the second one for rows that went above the first."""

STEPS_A_COLUMN = 2
"""Steps of the history in one column of the curve: two and a half minutes on 80 columns; chosen."""

LINES_FOR_A_RULE = 6
"""A lower curve has no line of its own for the budget."""

_MARKS = {Stage.DONE: "✓", Stage.RUNNING: "▶", Stage.WAITING: " "}


def headline(snapshot: Snapshot, width: int) -> Text:
    """Whose row this is, and the time."""
    left = Text.assemble(
        (snapshot.domain, "bold"),
        f"  {snapshot.servers} servers on the power of {snapshot.provisioned_servers}",
    )
    return between(left, Text(clock(snapshot.at_s), style="dim"), width=width)


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
    return between(left, heat, width=width)


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


def history(snapshot: Snapshot, *, width: int, height: int) -> list[Text]:
    """The last minutes as a curve, with what its ends are."""
    ceiling, gutter = _ceiling(snapshot), 6
    columns = max(width - gutter, 10)
    rule = int((ceiling - 1.0) / (ceiling - FLOOR_LOAD) * height) if height >= LINES_FOR_A_RULE else -1
    loads = [watts / snapshot.budget_watts for watts in snapshot.history_watts]
    newest = round(snapshot.at_s / snapshot.history_step_s) % STEPS_A_COLUMN
    shown = charts.condensed(loads, size=STEPS_A_COLUMN, newest=newest)[-columns:]
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
    foot = between(Text(past), Text("now"), width=min(max(len(shown), len(past) + 5), columns))
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


def between(left: Text, right: Text, *, width: int) -> Text:
    return Text.assemble(left, " " * max(width - len(left) - len(right), 1), right)
