"""
What a leader believes of one node: the most it may draw, what it falls to, and what is counted for it.

`worst` is what the evidence allows, `counted` what the plan relies on; a member whose worst is
above what is counted is in U. A silent member counts at what it holds, later at its maximum.
"""

from dataclasses import dataclass

from testbed.protocol_model.messages import Report
from testbed.protocol_model.rules import Rule, Times
from testbed.protocol_model.values import changed

TOLERANCE_WATTS = 0.5


@dataclass(frozen=True, kw_only=True)
class Member:
    """One node, as its leader knows it.

    `given_watts` is the safe limit that the plan in force sends, `old_watts` the highest one that
    it may still fall to, `ordered_watts` the highest order that no report has confirmed.
    `planned` members are counted at their worst; `planned_watts` is the highest of it since.
    """

    report: Report | None = None
    silent_s: int = 0
    highest_watts: int
    lowest_watts: int
    given_watts: int | None = None
    old_watts: int = 0
    ordered_watts: int = 0
    last_order_watts: int = 0
    leaving: bool = False
    releasing: bool = False
    planned: bool = False
    planned_watts: int = 0
    in_u_s: int = 0
    waits_s: int = 0
    proven_s: int = 0
    need_s: int = 0
    returned_s: int = 0

    def heard(self, times: Times) -> bool:
        """Whether the member's report is fresh."""
        return self.report is not None and self.silent_s <= times.silent_after_s

    @property
    def holds_watts(self) -> int:
        """The most that the member may draw now."""
        if self.report is None:
            return self.highest_watts
        return min(self.highest_watts, max(self.report.holds_watts, self.ordered_watts))

    def worst_watts(self, times: Times) -> int:
        """What it comes to at the worst: its fall while heard, what it holds while silent, its maximum."""
        if self.report is None or self.silent_s > times.forgotten_after_s:
            return self.highest_watts
        if not self.heard(times) or not self.report.able or self.report.safe_watts is None:
            return self.holds_watts
        return min(self.holds_watts, self.report.safe_watts)

    @property
    def at_maximum(self) -> bool:
        """Whether it is counted at its maximum, whatever it falls to: unarmed, or under a release order."""
        return self.releasing or self.report is None or not self.report.armed or self.given_watts is None

    def counted_watts(self, times: Times, rule: Rule) -> int:
        """What the plan relies on."""
        if self.at_maximum:
            return self.highest_watts
        if self.planned:
            return self.planned_worst_watts(times, rule)
        assert self.given_watts is not None
        return max(self.old_watts, self.given_watts)

    def planned_worst_watts(self, times: Times, rule: Rule) -> int:
        worst = self.worst_watts(times)
        if rule.planned_at_highest:
            worst = max(worst, self.planned_watts)
        return max(worst, self.given_watts or 0) if rule.planned_at_its_orders else worst

    def in_u(self, times: Times, rule: Rule) -> bool:
        """Whether its worst is above what is counted."""
        return self.worst_watts(times) > self.counted_watts(times, rule) + TOLERANCE_WATTS

    def acknowledged(self, *, held: bool) -> bool:
        """Whether its record, and in a held row its hardware too, is at the plan's limit or lower."""
        if self.report is None or self.report.safe_watts is None or self.given_watts is None:
            return False
        if self.report.safe_watts > self.given_watts + TOLERANCE_WATTS:
            return False
        return not held or self.holds_watts <= self.given_watts + TOLERANCE_WATTS


def heard(member: Member, report: Report, epoch: int) -> Member:
    """The member after a report; an order that it names is confirmed."""
    took = report.order_epoch == epoch and report.order_watts == member.last_order_watts
    return changed(member, report=report, silent_s=0, ordered_watts=0 if took else member.ordered_watts)


def ordered(member: Member, watts: int) -> Member:
    """The member after an order went out, which may or may not arrive."""
    if member.last_order_watts == watts <= member.ordered_watts:
        return member
    return changed(member, last_order_watts=watts, ordered_watts=max(member.ordered_watts, watts))


def planned_for(member: Member, times: Times) -> Member:
    """The member once the others are planned around it; each return within an hour doubles the next proof."""
    if member.planned:
        return member
    again = member.returned_s > 0
    need_s = min(times.longest_proof_s, 2 * member.need_s) if again and member.need_s else times.proof_s
    return changed(member, planned=True, planned_watts=0, need_s=need_s, proven_s=0)


def aged(member: Member, *, times: Times, rule: Rule, held: bool, epoch: int) -> Member:
    """The member's waits, one second later."""
    report = member.report
    recorded = report is not None and not member.at_maximum and member.acknowledged(held=False)
    if report is not None and rule.epochs_are_awaited_briefly:
        recorded = recorded and report.safe_epoch == epoch
    below = recorded and member.acknowledged(held=held)
    proven = recorded and report is not None and report.able and member.heard(times)
    worst = member.worst_watts(times)
    return changed(
        member,
        in_u_s=min(member.in_u_s + 1, times.in_u_s) if member.in_u(times, rule) else 0,
        waits_s=0 if below or member.releasing else min(member.waits_s + 1, times.acknowledge_s),
        old_watts=(member.given_watts or 0) if below else member.old_watts,
        proven_s=member.proven_s + 1 if member.planned and proven else 0,
        planned_watts=max(member.planned_watts, worst) if member.planned else 0,
        returned_s=max(0, member.returned_s - 1),
    )


def returned(member: Member, times: Times) -> Member:
    """The member once its proof lets it be counted like any other again."""
    if not member.planned or member.proven_s < member.need_s:
        return member
    return changed(member, planned=False, planned_watts=0, returned_s=times.return_memory_s, proven_s=0)
