"""
What a lease asks of its node: to observe, to enforce, or to give back what was found.

Nothing that befalls an armed node disarms it; only a release does. A release goes by headroom:
everybody who is let go may rise to all that he can draw, and the meter can't show it at once.
"""

from collections.abc import Callable, Sequence

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import RowOrders, bounded, limited
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Act
from loadline_policies.power.protocol.rosters import Roster

RELEASE_SHARE = 0.95
"""Nodes are let go only as far as the row would stay under this share of its budget.

Chosen: POLCA's rise of a row within two seconds, 9 %, is shared by those already let go.
"""


def act_of(member: Member, domain: Domain, *, admitted: bool, releasable: Callable[[], bool]) -> Act:
    """What a member's next lease asks for.

    `admitted` says that it has its place in the plan, `releasable` that it may be let go
    now; it is asked only where that matters, since it looks at all members.
    """
    assert member.report is not None
    sound = member.report.settable and not member.report.faults
    if wanted(member, domain) and (member.armed or (sound and admitted)):
        return Act.ENFORCE
    if not member.armed:
        return Act.OBSERVE
    return Act.RELEASE if releasable() else Act.ENFORCE


def wanted(member: Member, domain: Domain) -> bool:
    """Whether the domain is to hold the member's limits; an armed one that it isn't to hold is released."""
    return domain.enforce and member.name in domain.members


def has_headroom(member: Member, members: Roster, domain: Domain, *, orders: RowOrders, now: float) -> bool:
    """Whether a member may rise to all that it can draw, with all that were let go just before.

    Where the row is free and its limits are back already, a release raises nothing.
    """
    assert member.report is not None
    gpus = member.report.gpus
    if orders.free and not bounded(gpus, domain) and not limited(gpus):
        return True
    return lacking_watts([member], members, domain, now=now) <= 0.0


def lacking_watts(waiting: Sequence[Member], members: Roster, domain: Domain, *, now: float) -> float:
    """By how much the row would pass its share of the budget if the cheapest of these were let go.

    Whoever was let go just before counts at all that it can draw, a silent member and a GPU that
    can't be lowered at what it holds: a release waits for nobody's proof, and trusts in none.
    """
    counted = {one.name: _counted_watts(one, members, domain, now=now) for one in members.values()}
    rises = [_nameplate_watts(one) - counted.get(one.name, 0.0) for one in waiting]
    return sum(counted.values()) + min(rises) - RELEASE_SHARE * domain.budget_watts


def _counted_watts(member: Member, members: Roster, domain: Domain, *, now: float) -> float:
    if member.rising(now, domain.timings.settle_s):
        return _nameplate_watts(member)
    return member.held_watts(now, members.silent_after_s)


def _nameplate_watts(member: Member) -> float:
    return member.rating.nameplate_watts if member.rating is not None else 0.0
