"""
What a drill has shown: what was promised beside what was read back, as a table, JSON or Markdown.

Evidence only. A check is met where the status has the value that meets it; where it has none, the
check is unknown, and unknown isn't met.
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
    """One promise: what was seen, what was promised; `met` is None where it isn't known."""

    name: str
    seen: str
    promised: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "yes", False: "no", None: "unknown"}[self.met]


def checks(plan: Plan, drill: DrillStatus) -> tuple[Check, ...]:
    """Every promise that a drill can prove."""
    highest, safe, budget = drill.highest_watts, drill.safe_watts, drill.budget_watts
    done = drill.outcome == DrillOutcome.DONE
    return (
        _limits(drill),
        _time(plan, drill),
        _watts("highest draw while held, W", highest, promised=safe, word="safeWatts"),
        _watts("the same against the budget, W", highest, promised=budget, word="budget"),
        Check("ended by itself", drill.outcome, DrillOutcome.DONE, done),
    )


def met(found: tuple[Check, ...]) -> bool:
    """Whether all that was promised was seen."""
    return all(check.met is True for check in found)


def _limits(drill: DrillStatus) -> Check:
    name = "GPUs read back at or below safe"
    if drill.gpus is None or drill.gpus_at_safe is None:
        return Check(name, "unknown", "all", None)
    short = [one for one in drill.listed if one.gpus_at_safe < one.gpus]
    unread = bool(short) and all(one.over_watts is None for one in short)
    whole = drill.gpus > 0 and drill.gpus_at_safe == drill.gpus
    so = True if whole else None if unread else False
    return Check(name, f"{drill.gpus_at_safe} of {drill.gpus}", "all", so)


def _time(plan: Plan, drill: DrillStatus) -> Check:
    name, reaction = "until the last node was, s", plan.reaction_milliseconds
    whole = drill.nodes and drill.nodes_at_safe == drill.nodes
    times = [one.after_milliseconds for one in drill.listed if one.after_milliseconds is not None]
    promised = f"<= {reaction / 1000:.1f} (reaction)" if reaction is not None else "unknown"
    if not whole or not times or reaction is None:
        return Check(name, "unknown", promised, None)
    return Check(name, f"{max(times) / 1000:.1f}", promised, max(times) <= reaction)


def _watts(name: str, seen: int | None, *, promised: int | None, word: str) -> Check:
    goal = f"<= {promised:,} ({word})" if promised is not None else "unknown"
    so = seen <= promised if seen is not None and promised is not None else None
    return Check(name, f"{seen:,}" if seen is not None else "unknown", goal, so)


def checks_table(found: tuple[Check, ...]) -> "Table":
    """The promises, one a line."""
    rows = table("promise", "seen", "promised", "seen so", right=frozenset({"seen"}))
    for check in found:
        rows.add_row(check.name, check.seen, check.promised, check.verdict)
    return rows


def nodes_table(drill: DrillStatus) -> "Table":
    """The nodes that the status names, the worst first."""
    rows = table("node", "GPUs at safe", "after, s", "above safe, W", "at safe", right=RIGHT)
    for one in drill.listed:
        rows.add_row(*_row(one))
    return rows


def remark(drill: DrillStatus) -> str:
    """What the watts don't prove; empty where they do."""
    before, safe = drill.watts_before, drill.safe_watts
    if before is None or safe is None or before > safe:
        return ""
    return (
        f"The row drew {before:,} W before, no more than safeWatts: the limits are proven,"
        " the watts were below anyway. Drill it under load, too."
    )


def unlisted(drill: DrillStatus) -> str:
    """What there is to say of nodes that the status doesn't name; empty if it names all."""
    left = (drill.nodes or 0) - len(drill.listed)
    at_safe = (drill.nodes_at_safe or 0) - sum(one.gpus_at_safe == one.gpus for one in drill.listed)
    return f"{left} more nodes, {at_safe} of them at safe, none later than these." if left > 0 else ""


RIGHT = frozenset({"GPUs at safe", "after, s", "above safe, W"})


def _row(one: DrilledNodeStatus) -> tuple[str, str, str, str, str]:
    after = f"{one.after_milliseconds / 1000:.1f}" if one.after_milliseconds is not None else "unknown"
    above = f"{one.over_watts}" if one.over_watts is not None else "unknown"
    at_safe = one.gpus_at_safe == one.gpus
    verdict = "yes" if at_safe else "unknown" if one.over_watts is None else "no"
    return one.node, f"{one.gpus_at_safe} of {one.gpus}", after, above, verdict


def plan_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """What a drill will do, as pairs of a word and a value."""
    observed = f"{plan.observed_watts:,} W" if plan.observed_watts is not None else "unknown"
    when = f", as of {plan.observed_time}" if plan.observed_time is not None else ""
    yield "domain", f"{plan.domain}, led by {plan.coordinator}"
    yield "nodes", f"{plan.nodes} with {plan.gpus} GPUs"
    yield "draws now", f"{observed}{when}"
    yield "falls to", f"at most {plan.safe_watts:,} W (safeWatts), of a budget of {plan.budget_watts:,} W"
    yield "for", f"{plan.seconds} s, then limits come back as the load allows"
    yield "cost", _cost(plan)


def _cost(plan: Plan) -> str:
    if not plan.pods:
        return "latency of whatever runs there; the agents know of no InferenceService's pods"
    named = ", ".join(plan.services[:3]) + (" and others" if len(plan.services) > 3 else "")
    return f"latency of {plan.pods} pods of {named}, and of whatever else runs there"


def as_json(plan: Plan, drill: DrillStatus | None = None) -> dict[str, Any]:
    """Plan and findings for programs; without a drill only the plan."""
    told: dict[str, Any] = {"plan": asdict(plan)}
    if drill is None:
        return told
    found = checks(plan, drill)
    listed = [{**asdict(one), "verdict": one.verdict} for one in found]
    return {
        **told,
        "met": met(found),
        "remark": remark(drill),
        "checks": listed,
        "drill": drill.to_api(),
    }


def as_markdown(plan: Plan, drill: DrillStatus) -> str:
    """Plan and findings as a page to keep, with room for what the breaker's own meter showed."""
    lines = [f"# Drill of {plan.domain}", ""]
    lines += [f"- {word}: {value}" for word, value in plan_rows(plan)]
    lines += [f"- order: {drill.order}, held from {drill.held_time or 'never'}, outcome {drill.outcome}"]
    lines += [f"- {drill.message}"] if drill.message else []
    lines += ["", "| promise | seen | promised | seen so |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.seen} | {one.promised} | {one.verdict} |" for one in checks(plan, drill)]
    lines += ["", "| node | GPUs at safe | after, s | above safe, W | at safe |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_row(one))} |" for one in drill.listed]
    lines += ["", unlisted(drill)] if unlisted(drill) else []
    lines += ["", remark(drill)] if remark(drill) else []
    lines += ["", "The breaker's own meter, highest from 3 s after the beginning to the end: ____ W", ""]
    return "\n".join(lines)
