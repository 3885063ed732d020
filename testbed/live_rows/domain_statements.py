"""
What the statuses of PowerDomains say, against the truth of the row.

Only a coordinator can correct most of it, and the operator the rest. Figures with a time are held
against the truth of that time.
"""

from typing import Final

from loadline_api.conditions import ConditionType
from loadline_api.reasons import Reason
from loadline_policies.power.protocol.gpu_limits import HoldReason
from testbed.live_rows.outages import Outage
from testbed.live_rows.plants import Moment
from testbed.live_rows.rows import BUDGET_WATTS, DOMAIN, GPUS, MAX_WATTS, NODES
from testbed.live_rows.sights import Contradictions, Sight
from testbed.live_rows.truths import lowest_watts

CAPPED_WATTS: Final = 2.5
"""From so much below the maximum a limit holds something back: arming takes a watt."""

LOAD_SLACK: Final = 0.01
"""Of the budget: sums of whole watts."""

HEAT_SLACK_PERCENT: Final = 1.0
"""Whole percent."""


def coordinator(sight: Sight) -> Contradictions:
    told = sight.row.status.coordinator
    if told is not None and told != sight.truth.leader:
        yield DOMAIN, f"coordinator is {told}, and {sight.truth.leader or 'nobody'} leads"


def holdable(sight: Sight) -> Contradictions:
    """`level` is `CannotBeHeld` if and only if not even the lowest limits fit."""
    if not sight.led:
        return
    unholdable = lowest_watts(sight.truth) > BUDGET_WATTS
    said = sight.row.status.level == HoldReason.UNHOLDABLE
    if said != unholdable:
        yield (
            DOMAIN,
            f"level is {sight.row.status.level}, and {lowest_watts(sight.truth):.0f} W is the least",
        )


def said_holdable(sight: Sight) -> Contradictions:
    """`Holdable` is False if and only if not even the lowest limits fit, and True of rows that all report."""
    one = sight.said.of_domain(DOMAIN, ConditionType.HOLDABLE)
    if one is None or not sight.led:
        return
    least = lowest_watts(sight.truth)
    if (one.status == "False") != (least > BUDGET_WATTS):
        yield DOMAIN, f"Holdable={one.status}/{one.reason}, and {least:.0f} W is the least"
    elif one.status == "True" and sight.row.status.silent_nodes:
        yield DOMAIN, f"Holdable=True, and {', '.join(sight.row.status.silent_nodes)} are silent"


def kept(sight: Sight) -> Contradictions:
    """`NotRefreshed` is said of no status that a coordinator keeps."""
    for one in sight.row.status.conditions if sight.led else ():
        if one.reason == Reason.NOT_REFRESHED:
            yield DOMAIN, f"{one.type} is NotRefreshed, and {sight.truth.leader} leads"


def capped(sight: Sight) -> Contradictions:
    """`PowerCapped` is whether some limit or clock holds something back."""
    one = sight.said.of_domain(DOMAIN, ConditionType.POWER_CAPPED)
    if one is None or not sight.led:
        return
    limits = [watts for node in NODES for watts in sight.truth.limits_watts[node]]
    low = sum(watts < MAX_WATTS - CAPPED_WATTS for watts in limits)
    locked = sum(mhz > 0 for node in NODES for mhz in sight.truth.locked_mhz[node])
    if (one.status == "True") != bool(low or locked):
        yield (
            DOMAIN,
            f"PowerCapped={one.status}, and {low} of {len(NODES) * GPUS} limits, {locked} clocks are",
        )


def within(sight: Sight) -> Contradictions:
    """`WithinBudget` is what the sensors show, where everybody is heard."""
    one, truth = sight.said.of_domain(DOMAIN, ConditionType.WITHIN_BUDGET), sight.truth
    if one is None or not sight.led:
        return
    load = truth.moment.sensor_watts / BUDGET_WATTS
    most = sum(_counted_watts(truth.moment, truth.outages, surely=False)) / BUDGET_WATTS
    silent = any(truth.up_s[node] is None for node in NODES) or bool(sight.row.status.silent_nodes)
    if one.status == "True" and load > 1.0 + LOAD_SLACK:
        yield DOMAIN, f"WithinBudget=True, and the sensors show {load:.3f} of it"
    elif one.status == "False" and most < 1.0 - LOAD_SLACK and not silent:
        yield DOMAIN, f"WithinBudget=False, and the sensors show {load:.3f} of it"


def silent(sight: Sight) -> Contradictions:
    """`silentNodes` are those without an agent, and `Reporting` says whether there are any."""
    if not sight.led:
        return
    told = set(sight.row.status.silent_nodes)
    reporting = sight.said.of_domain(DOMAIN, ConditionType.REPORTING)
    for node in NODES:
        if sight.truth.down(node) and node not in told:
            yield node, "is not among silentNodes, and its agent is dead"
        elif node in told and sight.truth.up(node):
            yield node, "is among silentNodes, and its agent runs"
    if reporting is not None and (reporting.status == "True") == bool(told):
        yield DOMAIN, f"Reporting={reporting.status}, and silentNodes are {sorted(told)}"


def enforcing(sight: Sight) -> Contradictions:
    """`Enforcing` is whether any node is armed."""
    one = sight.said.of_domain(DOMAIN, ConditionType.ENFORCING)
    if one is None or not sight.led:
        return
    if one.status == "Unknown" and sight.row.status.silent_nodes:
        return
    armed = [record is not None and record.armed for record in sight.truth.records.values()]
    if (one.status == "True") != any(armed):
        yield DOMAIN, f"Enforcing={one.status}/{one.reason}, and {sum(armed)} nodes are armed"


def safe_watts(sight: Sight) -> Contradictions:
    """`safeWatts` is no less than what the nodes truly fall to."""
    told, falls = sight.row.status.safe_watts, sum(sight.truth.falls_watts.values())
    if told is not None and sight.led and falls > told + 2.0 * len(NODES):
        yield DOMAIN, f"safeWatts is {told}, and the nodes truly fall to {falls:.0f} W"


def accepted(sight: Sight) -> Contradictions:
    """`Accepted` of each domain: not refused where its nodes obey it, not taken where they obey another."""
    for name in sight.said.domains:
        one = sight.said.of_domain(name, ConditionType.ACCEPTED)
        owned = [record is not None and record.domain == name for record in sight.truth.records.values()]
        others = [
            record is not None and record.domain not in ("", name) for record in sight.truth.records.values()
        ]
        selects = name in sight.said.domains and bool(sight.said.domains[name].status.members)
        if one is None or not selects:
            continue
        if one.status == "False" and all(owned):
            yield name, f"Accepted=False/{one.reason}, and all of its nodes are armed for it"
        elif one.status == "True" and any(others):
            yield name, f"Accepted=True, and {sum(others)} of its nodes are armed for another domain"


def watts(sight: Sight) -> Contradictions:
    """`observedWatts` is what the nodes showed around its time, and no less where some are silent.

    GPUs that can't be read count at their maximum.
    """
    status = sight.row.status
    if not sight.measured or status.observed_watts is None:
        return
    outages = sight.truth.outages
    surely = zip(*(_counted_watts(one, outages, surely=True) for one in sight.measured), strict=True)
    perhaps = zip(*(_counted_watts(one, outages, surely=False) for one in sight.measured), strict=True)
    least = sum(map(min, surely)) / BUDGET_WATTS - LOAD_SLACK
    most = sum(map(max, perhaps)) / BUDGET_WATTS + LOAD_SLACK
    told = status.observed_watts / BUDGET_WATTS
    if told < least or (told > most and not status.silent_nodes):
        yield (
            DOMAIN,
            f"observedWatts is {told:.3f} of the budget, and {least:.3f} to {most:.3f} were shown then",
        )


def _counted_watts(moment: Moment, outages: tuple[Outage, ...], *, surely: bool) -> list[float]:
    """What each node showed at a moment, with GPUs at their maximum that surely, or perhaps, count so."""
    counted = list(moment.shown_watts)
    for one in outages:
        if surely:
            at_most = one.kind.silent and one.lasts(moment.at_s) and not one.is_news(moment.at_s)
        else:
            at_most = one.may_be_told(moment.at_s)
        if at_most:
            counted[one.index] += MAX_WATTS - float(moment.gpus_watts[one.index, one.gpu])
    return counted


def policy_valid(sight: Sight) -> Contradictions:
    """`PolicyValid` is whether the document can be used; it and `policyHash` tell the last good one."""
    one, policy = sight.said.of_domain(DOMAIN, ConditionType.POLICY_VALID), sight.truth.policy
    if one is not None and (one.status == "True") != policy.good:
        yield DOMAIN, f"PolicyValid={one.status}, and the document is {'good' if policy.good else 'bad'}"
    elif one is not None and policy.hash not in one.message:
        yield DOMAIN, f"PolicyValid={one.status}: {one.message[:80]}…, and {policy.hash} is in force"
    elif sight.row.status.policy_hash != policy.hash:
        yield DOMAIN, f"policyHash is {sight.row.status.policy_hash}, and {policy.hash} is the last good one"


def applied_policy(sight: Sight) -> Contradictions:
    """`appliedPolicyHash` is the last good document's."""
    told, policy = sight.row.status.applied_policy_hash, sight.truth.policy
    if sight.led and told != policy.hash:
        yield DOMAIN, f"appliedPolicyHash is {told}, and {policy.hash} is the last good one"


def heat(sight: Sight) -> Contradictions:
    """`heatPercent` is no less than the true heat at its time.

    In the first three seconds after a driver went nobody can know what that heats.
    """
    status, outages = sight.row.status, sight.truth.outages
    known = [moment for moment in sight.measured if not any(one.is_news(moment.at_s) for one in outages)]
    if not known or status.heat_percent is None:
        return
    least = min(moment.heat for moment in known)
    if status.heat_percent < 100 * least - HEAT_SLACK_PERCENT:
        yield (
            DOMAIN,
            f"heatPercent is {status.heat_percent}, and the breaker's true heat was {100 * least:.0f}",
        )
