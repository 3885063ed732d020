"""
What a lease asks of its node: to observe, to enforce, or to give back what was found.

Nothing that befalls an armed node disarms it; only a release does. A release goes by headroom:
everybody who is let go may rise to all that he can draw, and the meter can't show it at once.
"""

from collections.abc import Callable

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
    wanted = domain.enforce and member.name in domain.members
    if wanted and (member.armed or (sound and admitted)):
        return Act.ENFORCE
    if not member.armed:
        return Act.OBSERVE
    return Act.RELEASE if releasable() else Act.ENFORCE


def has_headroom(
    member: Member, members: Roster, domain: Domain, *, orders: RowOrders, watts: float, now: float
) -> bool:
    """Whether a member may rise to all that it can draw, with all that were let go just before.

    Where the row is free and its limits are back already, a release raises nothing.
    """
    assert member.report is not None
    gpus = member.report.gpus
    if orders.free and not bounded(gpus, domain) and not limited(gpus):
        return True
    settle_s = domain.timings.settle_s
    others = (one for one in members.values() if one is not member and one.rising(now, settle_s))
    rises = member.rise_watts + sum(other.rise_watts for other in others)
    return watts + rises <= RELEASE_SHARE * domain.budget_watts
