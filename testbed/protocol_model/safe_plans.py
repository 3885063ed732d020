"""
Whom a leader plans for, and how it shares the rest: the safe limits of all others, anew each second.

Smaller limits go out at once; larger ones only when the leader is alone, everybody has
acknowledged, and the sum stays within the budget with every member at its worst.
"""

from collections.abc import Iterable

from testbed.protocol_model import members, plans, sums
from testbed.protocol_model.leaders import Leader, Raising, raising
from testbed.protocol_model.members import Member
from testbed.protocol_model.plans import Range
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed


def learned(leader: Leader) -> Leader:
    """Take over the safe limits that armed members have in their records."""
    return changed(leader, members=tuple(m and _learned_member(m) for m in leader.members))


def _learned_member(member: Member) -> Member:
    report = member.report
    if report is None or report.safe_watts is None or member.given_watts is not None:
        return member
    return changed(member, given_watts=report.safe_watts, old_watts=report.safe_watts)


def planned_around(leader: Leader, setup: Setup) -> Leader:
    """Plan for U once the sum was too high for long enough, and for whoever doesn't acknowledge in time."""
    times, rule = setup.times, setup.rule
    above = sums.above_borne(leader, setup)
    over_s, below_s = _excess(leader, setup, above=above)

    def around(member: Member | None) -> Member | None:
        if member is None or member.releasing:
            return member
        due = above and over_s >= times.planned_after_s and member.in_u(times, rule)
        due = due or member.in_u_s >= times.in_u_s or member.waits_s >= times.acknowledge_s
        return members.planned_for(member, times) if due else member

    rows = tuple(around(m) for m in leader.members)
    return changed(leader, over_s=over_s, below_s=below_s, members=rows)


def _excess(leader: Leader, setup: Setup, *, above: bool) -> tuple[int, int]:
    """Seconds that the sum was too high, and since when it isn't; short excesses add up for a while."""
    times = setup.times
    if above:
        return min(leader.over_s + 1, times.planned_after_s), 0
    below_s = min(leader.below_s + 1, times.proof_s)
    forgotten = below_s >= times.proof_s or not setup.rule.short_excesses_add_up
    return 0 if forgotten else leader.over_s, below_s


def _adjustable(member: Member) -> bool:
    return member.report is not None and not member.planned and not member.releasing


def _fixed_watts(leader: Leader, setup: Setup) -> int:
    return sum(_fixed_member_watts(m, setup) for m in leader.present if not _adjustable(m))


def _fixed_member_watts(member: Member, setup: Setup) -> int:
    if member.releasing and not setup.rule.maximum_is_planned_for:
        return member.given_watts or member.highest_watts
    if member.planned and not member.releasing:
        return member.planned_worst_watts(setup.times, setup.rule)
    return member.highest_watts


def shared(leader: Leader, setup: Setup) -> Leader:
    """The safe limits of all others anew: smaller ones at once, larger ones if all have acknowledged."""
    aimed, fits = _aimed(leader, setup)
    grows = fits and _may_grow(leader, setup, aimed)
    if not fits and setup.rule.lowest_for_all:
        aimed = tuple(None if m is None else m.lowest_watts for m in leader.members)
    rows = tuple(
        m and _given(m, target, grows=grows) for m, target in zip(leader.members, aimed, strict=True)
    )
    if any(m is not None and m.given_watts is None and m.report is not None for m in rows):
        rows = _targeted(rows, leader.budget_watts)
    return changed(leader, members=rows, cannot=not fits)


def _targeted(rows: tuple[Member | None, ...], budget_watts: int) -> tuple[Member | None, ...]:
    """Members planned for before they had a limit get their target: what they get if all obey."""
    present = [m for m in rows if m is not None]
    ranges = [Range(lowest_watts=m.lowest_watts, highest_watts=m.highest_watts) for m in present]
    targets = iter(plans.shared_limits(ranges, budget_watts))
    aimed = [None if m is None else next(targets) for m in rows]
    return tuple(
        _given(m, target, grows=False) if m is not None and m.given_watts is None else m
        for m, target in zip(rows, aimed, strict=True)
    )


def _aimed(leader: Leader, setup: Setup) -> tuple[tuple[int | None, ...], bool]:
    """The safe limits that the budget allows beside those planned for, and whether the lowest ones fit."""
    left_watts = leader.budget_watts - _fixed_watts(leader, setup)
    adjustable = [m for m in leader.present if _adjustable(m)]
    ranges = [Range(lowest_watts=m.lowest_watts, highest_watts=m.highest_watts) for m in adjustable]
    fits = sum(each.lowest_watts for each in ranges) <= left_watts
    targets = iter(plans.shared_limits(ranges, left_watts))
    return tuple(next(targets) if m is not None and _adjustable(m) else None for m in leader.members), fits


def ungiven_watts(leader: Leader, setup: Setup) -> int:
    """How much more the plan could give, with every member at its worst."""
    aimed, _ = _aimed(leader, setup)
    if not _grown_fits(leader, setup, aimed):
        return 0
    pairs = zip(leader.members, aimed, strict=True)
    return sum(target - (m.given_watts or 0) for m, target in pairs if m is not None and target is not None)


def _given(member: Member, target: int | None, *, grows: bool) -> Member:
    given = member.given_watts
    if target is None:
        return member
    if given is None:
        return changed(member, given_watts=target, old_watts=member.highest_watts)
    if target < given:
        return changed(member, given_watts=target, old_watts=max(member.old_watts, given))
    return changed(member, given_watts=target) if grows else member


def _may_grow(leader: Leader, setup: Setup, aimed: Iterable[int | None]) -> bool:
    """Whether safe limits may become larger: alone, and every armed member has acknowledged in this epoch."""
    if raising(leader, setup) is not Raising.FREELY:
        return False
    held = leader.held or leader.braked
    acknowledged = all(
        _has_acknowledged(m, leader.epoch, held=held) for m in leader.present if _awaited(m, setup)
    )
    return acknowledged and (not setup.rule.growth_stays_within_budget or _grown_fits(leader, setup, aimed))


def _grown_fits(leader: Leader, setup: Setup, aimed: Iterable[int | None]) -> bool:
    """Whether the larger limits, with every member at its worst, would stay within the budget."""
    times, rule = setup.times, setup.rule
    total = sum(
        max(m.counted_watts(times, rule), m.worst_watts(times), target or 0)
        for m, target in zip(leader.members, aimed, strict=True)
        if m is not None
    )
    return total <= leader.budget_watts


def _awaited(member: Member, setup: Setup) -> bool:
    if member.planned and setup.rule.epochs_are_awaited_briefly:
        return False
    return member.report is not None and member.report.armed


def _has_acknowledged(member: Member, epoch: int, *, held: bool) -> bool:
    return member.report is not None and member.report.safe_epoch == epoch and member.acknowledged(held=held)
