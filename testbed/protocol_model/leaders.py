"""
A leader: one epoch, what it believes of its members, and how sure it can be to lead alone.

It knows its members by their reports alone. What it makes of that is elsewhere: `sums` counts,
`safe_plans` shares the budget, `decisions` holds the row, leads it and answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from testbed.protocol_model import members
from testbed.protocol_model.hardware import Gpu
from testbed.protocol_model.heat import WARM
from testbed.protocol_model.members import Member
from testbed.protocol_model.messages import Report
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.values import changed


class Raising(Enum):
    """How far limits may rise, given how sure the leader is to lead alone."""

    NOT = 0
    TO_SAFE = 1
    FREELY = 2


@dataclass(frozen=True, kw_only=True)
class Leader:
    """One leader. `first_ack_s` counts from the first report that carried its epoch, None before.

    `held` says that the row is kept at its safe limits by the rule, `braked` by the policy, and
    `cannot` that not even the lowest limits fit. `deaf_to` are the members it can't hear;
    `only` says that no other candidate may take over from it, so it never gives up for hearing too few.
    """

    epoch: int
    members: tuple[Member | None, ...]
    budget_watts: int
    age_s: int = 0
    renewed_age_s: int = 0
    first_ack_s: int | None = None
    over: bool = False
    over_s: int = 0
    below_s: int = 0
    held: bool = False
    braked: bool = False
    calm_s: int = 0
    cannot: bool = False
    few_s: int = 0
    none_s: int = 0
    only: bool = False
    heat: float = WARM
    heat_heard: bool = False
    deaf_to: frozenset[int] = frozenset()
    reaches_api: bool = True

    @property
    def present(self) -> tuple[Member, ...]:
        return tuple([member for member in self.members if member is not None])


def elected(epoch: int, setup: Setup, *, budget_watts: int, selected: Sequence[bool]) -> Leader:
    """A new leader, which has heard nobody."""
    return Leader(
        epoch=epoch,
        budget_watts=budget_watts,
        members=tuple(
            unheard(gpu) if chosen else None for gpu, chosen in zip(setup.gpus, selected, strict=True)
        ),
        heat=WARM if setup.counts_heat else 0.0,
    )


def selected(member: Member | None, chosen: bool, gpu: Gpu) -> Member | None:
    """The member as the domain's declaration has it: new, leaving, or as before."""
    if member is None:
        return unheard(gpu) if chosen else None
    if not chosen and member.report is None:
        return None
    return member if member.leaving is not chosen else changed(member, leaving=not chosen)


def unheard(gpu: Gpu) -> Member:
    """A member of which only the hardware is known."""
    return Member(highest_watts=gpu.highest_watts, lowest_watts=gpu.lowest_watts, old_watts=gpu.highest_watts)


def heard(leader: Leader, reports: Mapping[int, Report], setup: Setup) -> Leader:
    """The leader after this second's reports, by node."""
    rows = list(leader.members)
    for index, report in reports.items():
        rows[index] = _member_heard(leader, rows[index], report)
        if setup.counts_heat:
            leader = _heat_learned(leader, report, setup)
    epochs = [report.order_epoch for report in reports.values()]
    resumes = leader.first_ack_s is None and any(
        report.braked and report.order_epoch != leader.epoch for report in reports.values()
    )
    first = leader.first_ack_s
    return changed(
        leader,
        members=tuple(rows),
        first_ack_s=0 if first is None and leader.epoch in epochs else first,
        over=leader.over or any(epoch > leader.epoch for epoch in epochs),
        braked=leader.braked or resumes,
    )


def _member_heard(leader: Leader, member: Member | None, report: Report) -> Member | None:
    """One member after its report; one that left is forgotten once it is disarmed."""
    if (member is None or member.leaving) and not report.armed:
        return None
    if member is None:
        member = Member(
            highest_watts=report.highest_watts, lowest_watts=report.lowest_watts, old_watts=0, leaving=True
        )
    return members.heard(member, report, leader.epoch)


def _heat_learned(leader: Leader, report: Report, setup: Setup) -> Leader:
    """Heat that another leader counted: what was heard, and the row's maximum until the lease ran out."""
    if report.order_epoch == leader.epoch or report.order_epoch == 0:
        return leader
    most = sum(m.highest_watts for m in leader.present) / leader.budget_watts
    gap_s = min(report.heat_age_s, setup.times.lease_s + 1)
    heat = min(1.0, report.heat + gap_s / setup.curve.trip_s(most))
    return changed(leader, heat=max(leader.heat, heat) if leader.heat_heard else heat, heat_heard=True)


def raising(leader: Leader, setup: Setup) -> Raising:
    """How far this leader may raise limits now."""
    if leader.over or leader.renewed_age_s > setup.times.raise_within_s:
        return Raising.NOT
    if all(m.report is not None and m.report.order_epoch == leader.epoch for m in leader.present):
        return Raising.FREELY
    if leader.first_ack_s is not None and leader.first_ack_s >= setup.times.patience_s:
        return Raising.FREELY
    return Raising.TO_SAFE


def aged(leader: Leader, setup: Setup, *, api: bool) -> Leader:
    """The leader one second later, before it hears anybody."""
    times = setup.times
    most_s = times.forgotten_after_s + 1
    return changed(
        leader,
        members=tuple(m and changed(m, silent_s=min(most_s, m.silent_s + 1)) for m in leader.members),
        age_s=min(times.patience_s, leader.age_s + 1),
        renewed_age_s=0 if api else min(leader.renewed_age_s + 1, times.kube_lease_s),
        first_ack_s=None if leader.first_ack_s is None else min(times.patience_s, leader.first_ack_s + 1),
    )


def acquainting(leader: Leader, setup: Setup) -> bool:
    """Whether a new leader leaves everything as it finds it, until it has heard its members."""
    unheard = any(m.report is None for m in leader.present)
    return unheard and leader.age_s <= setup.times.silent_after_s


def tenured(leader: Leader, setup: Setup) -> Leader:
    """Stale at the API, a leader goes on only while every member reports its epoch."""
    stale = leader.renewed_age_s > setup.times.raise_within_s
    alone = all(
        m.heard(setup.times) and m.report is not None and m.report.order_epoch == leader.epoch
        for m in leader.present
    )
    leader = _too_few(leader, setup)
    return changed(leader, over=leader.over or (stale and not alone))


def _too_few(leader: Leader, setup: Setup) -> Leader:
    """Hearing fewer than half of the armed members, or none, a leader gives way to another candidate."""
    times = setup.times
    armed = [m for m in leader.present if m.report is None or m.report.armed]
    fresh = sum(m.heard(times) for m in armed)
    few_s = min(leader.few_s + 1, times.too_few_s) if 2 * fresh < len(armed) else 0
    none_s = min(leader.none_s + 1, times.lease_s + times.silent_after_s) if armed and not fresh else 0
    gives_up = few_s >= times.too_few_s or none_s >= times.lease_s + times.silent_after_s
    return changed(leader, few_s=few_s, none_s=none_s, over=leader.over or (gives_up and not leader.only))
