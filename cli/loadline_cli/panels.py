"""
The parts of the live view, each a pure function from a snapshot to lines of text.

No line depends on colour alone: a row above its budget is red and has the word ABOVE, a
running act is bold and has an arrow. `live_view` decides which parts are shown and how
many lines each may take.
"""

from rich.table import Table
from rich.text import Text

from loadline_cli import charts
from loadline_policies.power.safety.breakers import WARM
from loadline_sim.reports.snapshots import ActNow, ServiceNow, Snapshot, Stage

FLOOR_LOAD = 0.6
"""The curve's lower end, as a share of the budget: an idle row already draws about 70 %."""

CEILING_LOADS = (1.1, 1.3)
"""The scale's upper end; the second value is used once a row has gone above the first."""

STEPS_A_COLUMN = 2
"""Steps of the history in one column of the curve, so that 80 columns show 2.5 minutes; chosen."""

LINES_FOR_A_RULE = 6
"""A curve of fewer lines than this shows no line for the budget."""

_MARKS = {Stage.DONE: "✓", Stage.RUNNING: "▶", Stage.WAITING: " "}


def headline(snapshot: Snapshot, width: int) -> Text:
    """The domain's name, its servers, and the time in the demo."""
    left = Text.assemble(
        (snapshot.domain, "bold"),
        f"  {snapshot.servers} servers on the power of {snapshot.provisioned_servers}",
    )
    return between(left, Text(clock(snapshot.at_s), style="dim"), width=width)


def watts_line(snapshot: Snapshot, width: int) -> Text:
    """Draw against the budget, mode and level, and the breaker's heat."""
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
    """TRIPPED or ABOVE if the row tripped its breaker or is above its budget, else empty."""
    if snapshot.trips:
        return f"TRIPPED {snapshot.trips}×"
    return "ABOVE" if snapshot.load > 1.0 else ""


def budget_bar(snapshot: Snapshot, width: int) -> list[Text]:
    """The draw as a bar from 0 W to a little above the budget, and its scale."""
    ceiling = _ceiling(snapshot)
    marks = [*snapshot.thresholds, 1.0]
    names = [f"{threshold:.0%}" for threshold in snapshot.thresholds] + ["budget"]
    shares = [mark / ceiling for mark in marks]
    drawn = charts.bar(snapshot.load / ceiling, width, style=_style(snapshot, snapshot.load), marks=shares)
    labels = [(share, name) for share, name in zip(shares, names, strict=True)]
    return [drawn, charts.scale([(0.0, "0"), *labels], width)]


def history(snapshot: Snapshot, *, width: int, height: int) -> list[Text]:
    """The draw of the last minutes as a curve, with labelled axes."""
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
    """Each service: how many of its servers are capped, and its latency beside the uncapped row's."""
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
    """An act of the demo: its progress while it runs, and its newest note."""
    style = {Stage.DONE: "", Stage.RUNNING: "bold", Stage.WAITING: "dim"}[act.stage]
    line = Text(f"{_MARKS[act.stage]} {act.number} {act.title:<22}  ", style=style)
    if act.stage is Stage.RUNNING:
        line.append_text(charts.bar(act.share, 10, style="cyan")).append("  ")
    line.append(act.note, style="" if act.stage is Stage.RUNNING else "dim")
    line.truncate(width, overflow="ellipsis")
    return line


def clock(at_s: float) -> str:
    """Seconds as `mm:ss`."""
    return f"{int(at_s) // 60:02d}:{int(at_s) % 60:02d}"


def seconds(value: float | None) -> str:
    """A latency: whole milliseconds below 1 s, else seconds with two decimals; a dash for None."""
    if value is None:
        return "–"
    return f"{value * 1e3:.0f} ms" if value < 1.0 else f"{value:.2f} s"


def change(value: float | None, uncapped: float | None) -> str:
    """The change against the uncapped latency, in percent with its sign; a dash if either is missing."""
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
    """One line of `width` cells with `left` and `right` at its ends."""
    return Text.assemble(left, " " * max(width - len(left) - len(right), 1), right)
