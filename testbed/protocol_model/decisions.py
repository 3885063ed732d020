"""
What a leader decides each second, in the order of the rule: count, plan for U, share, hold or lead.

The policy here is the simplest that brakes: it sends everybody to safe while the row draws more
than its budget. Answers are the leases that follow from it.
"""

from collections.abc import Iterable

from testbed.protocol_model import members, safe_plans, sums
from testbed.protocol_model.leaders import Leader, Raising, acquainting, raising, tenured
from testbed.protocol_model.members import Member
from testbed.protocol_model.messages import Lease
from testbed.protocol_model.rules import RELEASE_SHARE
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed


def decided(leader: Leader, setup: Setup) -> Leader:
    """The leader after it has counted, planned and asked the policy."""
    leader = _heated(tenured(leader, setup), setup)
    if acquainting(leader, setup):
        return leader
    leader = safe_plans.learned(leader)
    leader = safe_plans.planned_around(leader, setup)
    leader = safe_plans.shared(leader, setup)
    leader = _held(leader, setup)
    held = leader.held or leader.braked
    return changed(
        leader,
        members=tuple(
            m
            and members.returned(
                members.aged(m, times=setup.times, rule=setup.rule, held=held, epoch=leader.epoch),
                setup.times,
            )
            for m in leader.members
        ),
    )


def _held(leader: Leader, setup: Setup) -> Leader:
    """Whether the policy leads, and whether it brakes."""
    above = sums.above_borne(leader, setup)
    seen_watts = sums.drawn_watts(leader, setup)
    hot = setup.counts_heat and leader.heat > sums.ceiling(leader, setup)
    braked = leader.braked
    calm_s = leader.calm_s + 1 if seen_watts <= RELEASE_SHARE * leader.budget_watts else 0
    if seen_watts > leader.budget_watts:
        braked = True
    elif calm_s >= setup.times.policy_hold_s:
        braked = False
    held = above or hot or (leader.cannot and not setup.rule.policy_leads_within_borne)
    return changed(leader, held=held, braked=braked, calm_s=min(calm_s, setup.times.policy_hold_s))


def _heated(leader: Leader, setup: Setup) -> Leader:
    """One second more of the heat that is counted, kept in [0, 1]."""
    if not setup.counts_heat:
        return leader
    load = sums.drawn_watts(leader, setup) / leader.budget_watts
    return changed(leader, heat=min(1.0, setup.curve.heated(leader.heat, load=load)))


def answered(leader: Leader, asking: Iterable[int], setup: Setup) -> tuple[Leader, dict[int, Lease]]:
    """The leases for the members that were heard this second, and what the leader remembers of them."""
    rows, leases = list(leader.members), {}
    allowed = raising(leader, setup)
    for index in () if leader.over else asking:
        member = rows[index]
        if member is None or member.report is None:
            continue
        answer = _answer(leader, member, setup=setup, allowed=allowed)
        if answer is not None:
            rows[index], leases[index] = answer
    return changed(leader, members=tuple(rows)), leases


def _answer(leader: Leader, member: Member, *, setup: Setup, allowed: Raising) -> tuple[Member, Lease] | None:
    """One member's lease, and the member with it on its way; none without a place in the plan."""
    assert member.report is not None
    if member.leaving and _may_release(leader, member, setup):
        watts = member.highest_watts
        lease = Lease(epoch=leader.epoch, order_watts=watts, safe_watts=0, release=True, heat=leader.heat)
        return changed(member, releasing=True, ordered_watts=watts), lease
    if member.given_watts is None and not member.report.armed:
        return None
    watts, safe_watts = _order(leader, member, setup=setup, allowed=allowed)
    lease = Lease(
        epoch=leader.epoch,
        order_watts=watts,
        safe_watts=safe_watts,
        held=leader.held or leader.braked,
        braked=leader.braked,
        heat=leader.heat,
    )
    return members.ordered(member, watts), lease


def _order(leader: Leader, member: Member, *, setup: Setup, allowed: Raising) -> tuple[int, int]:
    """What the member is ordered now, and what it falls to."""
    report = member.report
    assert report is not None
    safe_watts = (
        member.given_watts if member.given_watts is not None else (report.safe_watts or member.lowest_watts)
    )
    there = report.requested_watts
    if acquainting(leader, setup):
        return there, safe_watts
    safe = leader.held or leader.braked or report.at_fault
    if setup.rule.unable_are_held_at_safe:
        safe = safe or not report.able
    watts = safe_watts if safe else member.highest_watts
    if allowed is Raising.NOT:
        return max(member.lowest_watts, min(watts, there)), safe_watts
    if allowed is Raising.TO_SAFE:
        return min(watts, max(there, safe_watts)), safe_watts
    return watts, safe_watts


def _may_release(leader: Leader, member: Member, setup: Setup) -> bool:
    if member.releasing:
        return True
    if raising(leader, setup) is not Raising.FREELY:
        return False
    assert member.report is not None
    rise_watts = member.highest_watts - member.report.drawn_watts
    return sums.drawn_watts(leader, setup) + rise_watts <= RELEASE_SHARE * leader.budget_watts
