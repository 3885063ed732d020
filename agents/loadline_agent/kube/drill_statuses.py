"""
What people see of a drill in the status of its PowerDomain. Pure.

A coordinator that begins knows nothing of its predecessor's drill, and what it writes replaces
the whole of its half; so what the status had is kept until there is another drill.
"""

from datetime import UTC, datetime
from math import ceil
from typing import Final

from loadline_api.conditions import timestamp
from loadline_api.drills import LISTED_NODES, DrilledNodeStatus, DrillStatus
from loadline_policies.power.protocol.drill_states import DrilledNode, DrillOutcome, DrillState

NEVER: Final = float("inf")


def status_of(state: DrillState) -> DrillStatus:
    """An order and what came of it; without a hold only the order, its outcome and why."""
    told = DrillStatus(order=state.order.text, outcome=state.outcome, message=state.message)
    if state.begun_age_s is None:
        return told
    held = datetime.fromtimestamp(state.order.requested_s + state.begun_age_s, UTC)
    worst_first = sorted(state.nodes, key=lambda one: -(one.after_s if one.after_s is not None else NEVER))
    return told.model_copy(
        update={
            "held_time": timestamp(held),
            "nodes": len(state.nodes),
            "nodes_at_safe": sum(one.gpus_at_safe == one.gpus for one in state.nodes),
            "gpus": sum(one.gpus for one in state.nodes),
            "gpus_at_safe": sum(one.gpus_at_safe for one in state.nodes),
            "safe_watts": _rounded(state.safe_watts),
            "budget_watts": _rounded(state.budget_watts),
            "watts_before": _rounded(state.watts_before),
            "highest_watts": _rounded(state.highest_watts),
            "listed": tuple(map(_drilled, worst_first[:LISTED_NODES])),
        }
    )


def ended(drill: DrillStatus | None) -> DrillStatus | None:
    """What a predecessor has written of a drill: one that it held has ended with it."""
    if drill is None or drill.outcome != DrillOutcome.HOLDING:
        return drill
    return drill.model_copy(
        update={"outcome": str(DrillOutcome.STOPPED), "message": "the coordinator has changed meanwhile"}
    )


def inherited(own: DrillStatus | None, before: DrillStatus | None) -> DrillStatus | None:
    """What is shown: our own, but of an order that a predecessor had what it has seen of it."""
    return before if before is not None and (own is None or own.order == before.order) else own


def _drilled(one: DrilledNode) -> DrilledNodeStatus:
    return DrilledNodeStatus(
        node=one.node,
        gpus=one.gpus,
        gpus_at_safe=one.gpus_at_safe,
        after_milliseconds=round(1000 * one.after_s) if one.after_s is not None else None,
        over_watts=ceil(one.over_watts) if one.over_watts is not None else None,
    )


def _rounded(watts: float | None) -> int | None:
    """Whole watts, up: a draw is never shown below what it was."""
    return ceil(watts) if watts is not None else None
