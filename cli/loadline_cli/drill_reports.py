"""
The result of a drill: each promise beside the observed value, as a table, JSON or Markdown.

A promise counts as met only if the status has a value that meets it. Without a value the result is
unknown, and an unknown promise fails the drill.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from loadline_api.drills import DrilledNodeStatus, DrillStatus
from loadline_cli.drill_plans import Plan
from loadline_cli.outputs import table
from loadline_policies.power.protocol.drill_states import DrillOutcome

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: the observed and the promised value, as text; `met` is None if it isn't known."""

    name: str
    seen: str
    promised: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """Whether the promise was met: yes, no or unknown."""
        return {True: "yes", False: "no", None: "unknown"}[self.met]


def checks(plan: Plan, drill: DrillStatus) -> tuple[Check, ...]:
    """Every promise that a drill can check."""
    highest, safe, budget = drill.highest_watts, drill.safe_watts, drill.budget_watts
    done = drill.outcome == DrillOutcome.DONE
    return (
        _limits(drill),
        _time(plan, drill),
        _watts("highest draw while held, W", highest, promised=safe, word="safeWatts"),
        _watts("highest draw against the budget, W", highest, promised=budget, word="budget"),
        Check("outcome", drill.outcome, DrillOutcome.DONE, done),
    )


def met(found: tuple[Check, ...]) -> bool:
    """Whether every promise was met; unknown counts as not met."""
    return all(check.met is True for check in found)


def _limits(drill: DrillStatus) -> Check:
    name = "GPUs at or below their safe limit"
    if drill.gpus is None or drill.gpus_at_safe is None:
        return Check(name, "unknown", "all", None)
    short = [one for one in drill.listed if one.gpus_at_safe < one.gpus]
    unread = bool(short) and all(one.over_watts is None for one in short)
    whole = drill.gpus > 0 and drill.gpus_at_safe == drill.gpus
    so = True if whole else None if unread else False
    return Check(name, f"{drill.gpus_at_safe} of {drill.gpus}", "all", so)


def _time(plan: Plan, drill: DrillStatus) -> Check:
    name, reaction = "time until the last node was there, s", plan.reaction_milliseconds
    whole = drill.nodes and drill.nodes_at_safe == drill.nodes
    times = [one.after_milliseconds for one in drill.listed if one.after_milliseconds is not None]
    promised = f"<= {reaction / 1000:.1f} (reaction time)" if reaction is not None else "unknown"
    if not whole or not times or reaction is None:
        return Check(name, "unknown", promised, None)
    return Check(name, f"{max(times) / 1000:.1f}", promised, max(times) <= reaction)


def _watts(name: str, seen: int | None, *, promised: int | None, word: str) -> Check:
    goal = f"<= {promised:,} ({word})" if promised is not None else "unknown"
    so = seen <= promised if seen is not None and promised is not None else None
    return Check(name, f"{seen:,}" if seen is not None else "unknown", goal, so)


def checks_table(found: tuple[Check, ...]) -> "Table":
    """One line for each promise."""
    rows = table("check", "observed", "promised", "met", right=frozenset({"observed"}))
    for check in found:
        rows.add_row(check.name, check.seen, check.promised, check.verdict)
    return rows


def nodes_table(drill: DrillStatus) -> "Table":
    """One line for each node that the status lists, the worst first."""
    rows = table(*NODE_COLUMNS, right=RIGHT)
    for one in drill.listed:
        rows.add_row(*_row(one))
    return rows


def remark(drill: DrillStatus) -> str:
    """A warning if the draw was at or below `safeWatts` before the drill, else empty."""
    before, safe = drill.watts_before, drill.safe_watts
    if before is None or safe is None or before > safe:
        return ""
    return (
        f"Before the drill the domain drew {before:,} W, which is not above safeWatts. So the drill shows"
        " that the limits were set, but not that they lower the draw. Repeat it under load."
    )


def unlisted(drill: DrillStatus) -> str:
    """A sentence about the nodes that the status doesn't list; empty if it lists all."""
    left = (drill.nodes or 0) - len(drill.listed)
    at_safe = (drill.nodes_at_safe or 0) - sum(one.gpus_at_safe == one.gpus for one in drill.listed)
    if left <= 0:
        return ""
    return f"{left} more nodes: {at_safe} of them at their safe limits, none later than the nodes listed."


NODE_COLUMNS = ("node", "GPUs at safe limit", "after, s", "above safe limit, W", "node at safe limits")
RIGHT = frozenset(NODE_COLUMNS[1:4])


def _row(one: DrilledNodeStatus) -> tuple[str, str, str, str, str]:
    after = f"{one.after_milliseconds / 1000:.1f}" if one.after_milliseconds is not None else "unknown"
    above = f"{one.over_watts}" if one.over_watts is not None else "unknown"
    at_safe = one.gpus_at_safe == one.gpus
    verdict = "yes" if at_safe else "unknown" if one.over_watts is None else "no"
    return one.node, f"{one.gpus_at_safe} of {one.gpus}", after, above, verdict


def plan_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """What a drill will do, as pairs of a label and a value."""
    observed = f"{plan.observed_watts:,} W" if plan.observed_watts is not None else "unknown"
    when = f", as of {plan.observed_time}" if plan.observed_time is not None else ""
    yield "domain", f"{plan.domain}, coordinated by the agent on {plan.coordinator}"
    yield "nodes", f"{plan.nodes} with {plan.gpus} GPUs"
    yield "draw now", f"{observed}{when}"
    yield (
        "draw in the drill",
        f"at most {plan.safe_watts:,} W (safeWatts), of a budget of {plan.budget_watts:,} W",
    )
    yield "duration", f"{plan.seconds} s, then the coordinator raises the limits as the load allows"
    yield "cost", _cost(plan)


def _cost(plan: Plan) -> str:
    if not plan.pods:
        return "slower requests on these nodes; their agents report no pods of an InferenceService"
    named = ", ".join(plan.services[:3]) + (" and others" if len(plan.services) > 3 else "")
    return f"slower requests in {plan.pods} pods of {named}, and in any other pods on these nodes"


def as_json(plan: Plan, drill: DrillStatus | None = None) -> dict[str, Any]:
    """The plan and the result as JSON; without a drill only the plan."""
    body: dict[str, Any] = {"plan": asdict(plan)}
    if drill is None:
        return body
    found = checks(plan, drill)
    listed = [{**asdict(one), "verdict": one.verdict} for one in found]
    return {
        **body,
        "met": met(found),
        "remark": remark(drill),
        "checks": listed,
        "drill": drill.to_api(),
    }


def as_markdown(plan: Plan, drill: DrillStatus) -> str:
    """The plan and the result as Markdown, with a blank for the reading of the breaker's own meter."""
    lines = [f"# Drill of {plan.domain}", ""]
    lines += [f"- {word}: {value}" for word, value in plan_rows(plan)]
    held = f"held from {drill.held_time}" if drill.held_time else "never held"
    lines += [f"- order: {drill.order}, {held}, outcome {drill.outcome}"]
    lines += [f"- {drill.message}"] if drill.message else []
    lines += ["", "| check | observed | promised | met |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.seen} | {one.promised} | {one.verdict} |" for one in checks(plan, drill)]
    lines += ["", f"| {' | '.join(NODE_COLUMNS)} |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_row(one))} |" for one in drill.listed]
    lines += ["", unlisted(drill)] if unlisted(drill) else []
    lines += ["", remark(drill)] if remark(drill) else []
    lines += [
        "",
        "Highest reading of the breaker's own meter, from 3 s after the start to the end: ____ W",
        "",
    ]
    return "\n".join(lines)
