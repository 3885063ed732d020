"""
What a coordinator says of its domain in conditions, and on what evidence.

Orders go by the worst that may be; statements go by what was heard. True and False are said of
members whose reports are fresh, and where some are silent the answer is Unknown, with their
names, unless those that were heard decide it alone. One condition is False on less: `Holdable`,
where the coordinator has given everybody the lowest limits and they don't fit, since that is a
fact of the plan whatever the silent ones draw.

Pure: conditions have no times here.
"""

from math import ceil, floor

from loadline_api.conditions import Condition, ConditionType, condition
from loadline_api.reasons import Reason
from loadline_policies.power.protocol.domain_states import DomainState, ReleaseWait

NORMAL = "Normal"
"""The level at which a policy holds nobody back (`Caps.level`)."""

NAMED = 5
"""Nodes or relieved services that a sentence names; of silent nodes the status lists all."""


def conditions_of(domain_state: DomainState, *, enforce: bool) -> tuple[Condition, ...]:
    """The coordinator's conditions; `enforce` says whether limits are asked for."""
    return (
        _enforcing(domain_state, enforce=enforce),
        _holdable(domain_state, enforce=enforce),
        _capped(domain_state),
        _reporting(domain_state),
        _within(domain_state),
    )


def is_bad(one: Condition) -> bool:
    """Whether people should look: a budget passed, a node silent, a domain that can't be kept."""
    if one.type == ConditionType.ENFORCING:
        return one.reason not in (Reason.MODE_ENFORCE, Reason.MODE_OBSERVE, Reason.RELEASING)
    watched = (ConditionType.REPORTING, ConditionType.WITHIN_BUDGET, ConditionType.HOLDABLE)
    return one.type in watched and one.status == "False"


def _enforcing(domain_state: DomainState, *, enforce: bool) -> Condition:
    type, problem, waits = ConditionType.ENFORCING, domain_state.problem, domain_state.release
    so = domain_state.evidence.armed > 0
    if not so and domain_state.silent:
        text = f"No node that reports has limits in force, and {_unheard(domain_state)}."
        return condition(type, so=None, reason=Reason.NODES_SILENT, message=text)
    if enforce and problem is not None:
        return condition(type, so=so, reason=_reason(problem.reason), message=str(problem))
    if waits is not None and waits.long:
        return condition(type, so=so, reason=Reason.RELEASE_WAITS, message=_waits(waits))
    if not enforce and so:
        text = _waits(waits) if waits is not None else ""
        return condition(type, so=so, reason=Reason.RELEASING, message=text)
    if not enforce:
        return condition(type, so=so, reason=Reason.MODE_OBSERVE)
    text = "" if so else "The coordinator has sent the first leases; no node has read its limits back yet."
    return condition(type, so=so, reason=Reason.MODE_ENFORCE, message=text)


def _waits(waits: ReleaseWait) -> str:
    """Who waits to be released, for what, and what a person can do where that takes long."""
    many = len(waits.nodes) != 1
    who = f"{_named(waits.nodes)} {'wait' if many else 'waits'} to be released"
    lacks = f"the next lacks {ceil(waits.lacking_watts)} W of headroom"
    what = lacks if waits.lacking_watts else "there is enough headroom"
    if not waits.long:
        return f"{who}; {what}."
    help = (
        "reduce the load on the domain or raise budgetWatts"
        if waits.lacking_watts
        else "check the agents on them"
    )
    return (
        f"For ten minutes no node could be released: {who}; {what}. So {help}, or run `loadline release"
        f" --node {waits.nodes[0]}`, which ignores headroom."
    )


def _holdable(domain_state: DomainState, *, enforce: bool) -> Condition:
    type, evidence = ConditionType.HOLDABLE, domain_state.evidence
    if evidence.unholdable:
        return condition(type, so=False, reason=Reason.CANNOT_BE_HELD, message=_over(domain_state))
    if domain_state.nodes == 0:
        return condition(type, so=None, reason=Reason.NO_MEMBERS)
    if domain_state.silent:
        text = f"It is unknown whether the domain can be held within its budget: {_unheard(domain_state)}."
        return condition(type, so=None, reason=Reason.NODES_SILENT, message=text)
    if not enforce:
        reason = Reason.RELEASING if evidence.armed else Reason.MODE_OBSERVE
        return condition(type, so=None, reason=reason)
    if evidence.unarmed:
        text = f"No limit is in force yet on {_named(evidence.unarmed)}, so no limit was read back there."
        return condition(type, so=None, reason=Reason.NOT_WRITTEN, message=text)
    if evidence.over_watts > 0.0:
        return condition(type, so=False, reason=Reason.CANNOT_BE_HELD, message=_over(domain_state))
    text = (
        f"At the lowest limits of all {domain_state.nodes} nodes the domain draws at most"
        f" {evidence.lowest_watts:.0f} W; the budget is {evidence.budget_watts:.0f} W."
    )
    return condition(type, so=True, reason=Reason.LOWEST_LIMITS_FIT, message=text)


def _over(domain_state: DomainState) -> str:
    """By how much a domain can't be held, because of whom, and what to do."""
    evidence = domain_state.evidence
    lowest_watts, budget_watts = ceil(evidence.lowest_watts), floor(evidence.budget_watts)
    why = [f"can't be lowered: {_named(evidence.unlowered)}"] if evidence.unlowered else []
    if domain_state.silent:
        why.append(
            f"not reporting, so they count at the most that they may draw: {_named(domain_state.silent)}"
        )
    return (
        f"At the lowest limits the domain may draw {lowest_watts} W,"
        f" {lowest_watts - budget_watts} W above the budget ({budget_watts} W)"
        + "".join(f"; {one}" for one in why)
        + ". All GPUs that take limits are at their lowest: reduce the load now, then fix or remove those"
        " nodes, or raise budgetWatts if the breaker is rated for more."
    )


def _capped(domain_state: DomainState) -> Condition:
    unable = domain_state.evidence.unable
    if domain_state.level == NORMAL and unable:
        text = (
            f"The policy's level is {NORMAL}, and GPUs that don't reliably take a limit are held at their"
            f" safe limits on {_named(unable)}."
        )
        return condition(ConditionType.POWER_CAPPED, so=True, reason=Reason.GPUS_UNABLE, message=text)
    if domain_state.level == NORMAL:
        return condition(ConditionType.POWER_CAPPED, so=False, reason=Reason.LEVEL_NORMAL)
    sentence = f"The policy's level is {domain_state.level}"
    if not domain_state.enforcing:
        return condition(
            ConditionType.POWER_CAPPED,
            so=False,
            reason=Reason.LEVEL_RAISED,
            message=f"{sentence}, and no limit is enforced.",
        )
    if domain_state.relieved:
        sentence += (
            f"; relieved of its caps, because they miss their objectives: {_named(domain_state.relieved)}"
        )
    return condition(ConditionType.POWER_CAPPED, so=True, reason=Reason.LEVEL_RAISED, message=f"{sentence}.")


def _reporting(domain_state: DomainState) -> Condition:
    if not domain_state.silent:
        return condition(ConditionType.REPORTING, so=True, reason=Reason.ALL_REPORTING)
    text = f"{_unheard(domain_state)}."
    return condition(ConditionType.REPORTING, so=False, reason=Reason.NODES_SILENT, message=text)


def _within(domain_state: DomainState) -> Condition:
    type, evidence = ConditionType.WITHIN_BUDGET, domain_state.evidence
    if domain_state.nodes == 0:
        return condition(type, so=None, reason=Reason.NO_MEMBERS)
    if evidence.heard_watts > evidence.budget_watts:
        return condition(type, so=False, reason=Reason.ABOVE_BUDGET)
    if domain_state.silent:
        text = (
            f"{_unheard(domain_state)}. The other members draw {evidence.heard_watts:.0f} W, and with the"
            f" silent ones at the most that they may draw the domain draws {domain_state.watts:.0f} W; the"
            f" budget is {evidence.budget_watts:.0f} W."
        )
        return condition(type, so=None, reason=Reason.NODES_SILENT, message=text)
    return condition(type, so=True, reason=Reason.BELOW_BUDGET)


def _unheard(domain_state: DomainState) -> str:
    silent = domain_state.silent
    return f"{len(silent)} of {domain_state.nodes} nodes don't report: {_named(silent)}"


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")


def _reason(word: str) -> Reason:
    """The table's word for what keeps a domain from being enforced."""
    known = {reason.value: reason for reason in Reason}
    return known.get(word, Reason.CAPACITY_UNKNOWN)
