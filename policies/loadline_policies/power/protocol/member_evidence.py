"""
What of a row stands on reports that were heard lately, and on nothing else.

A coordinator acts on the worst that may be: a silent node counts at what it may hold. That is
right for orders and wrong for statements, which must tell what was read back from what is only
assumed. So beside the counted row there are these figures of the members heard lately; what is
said of the domain (`Holdable`, `WithinBudget`, `Enforcing`) is made of them.
"""

from dataclasses import dataclass, replace

from loadline_policies.power.protocol.gpu_limits import limited
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import GpuReport
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.safe_states import SENSOR_GAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What fresh reports show; without any, nothing.

    `heard_watts` is what the members heard lately draw, `armed` how many of them are, `unarmed`
    which aren't; on the armed ones that are `unable` some GPU doesn't obey reliably, and is held low.
    `unlowered` are those that can't be brought to their lowest limits.
    `lowest_watts` is what all members come to at the lowest limits that they can be counted on
    for, hosts at their maximum, sensor gain included; `budget_watts` is the budget in force.
    `unholdable` says that the coordinator has given the lowest limits to all, and they don't fit; then
    `lowest_watts` is the sum by which it has found so.
    """

    heard_watts: float = 0.0
    armed: int = 0
    unarmed: tuple[str, ...] = ()
    unable: tuple[str, ...] = ()
    unlowered: tuple[str, ...] = ()
    lowest_watts: float = 0.0
    budget_watts: float = 0.0
    unholdable: bool = False

    @property
    def over_watts(self) -> float:
        """By how much the lowest limits exceed the budget; 0 where they fit."""
        return max(0.0, self.lowest_watts - self.budget_watts)


NOTHING_HEARD = Evidence()
"""The evidence where no member was heard."""


def evidence_of(
    members: Roster, *, budget_watts: float, unholdable_watts: float | None, now: float
) -> Evidence:
    """The evidence of a roster; what is silent counts in `lowest_watts` alone.

    `unholdable_watts` is the sum of the plan in force where it can't be held, None where it can. The plan is
    some moments older than the roster, and may count members that were never heard at their maximum.
    """
    lowest_watts = sum(_lowest_watts(member) for member in members.values())
    heard = sorted(name for name, member in members.items() if member.fresh(now, members.silent_after_s))
    return Evidence(
        heard_watts=sum(members[name].watts(now, members.silent_after_s) for name in heard),
        armed=sum(members[name].armed for name in heard),
        unarmed=tuple(name for name in heard if not members[name].armed),
        unable=tuple(name for name in heard if members[name].armed and _held_unable(members[name])),
        unlowered=tuple(name for name in heard if _excess_watts(members[name]) > ROUNDING_WATTS),
        lowest_watts=lowest_watts if unholdable_watts is None else unholdable_watts,
        budget_watts=budget_watts,
        unholdable=unholdable_watts is not None,
    )


def _held_unable(member: Member) -> bool:
    """Whether a GPU that doesn't obey reliably is read back below what its owner had set.

    By the limit in force: one that somebody else sets counts at the highest that he has written lately.
    """
    gpus = member.report.gpus if member.report is not None else ()
    return limited(_as_read_back(gpu) for gpu in gpus if not gpu.able)


def _as_read_back(gpu: GpuReport) -> GpuReport:
    return gpu if gpu.in_force_watts is None else replace(gpu, enforced_watts=gpu.in_force_watts)


def _lowest_watts(member: Member) -> float:
    return member.counted_rating(patient=True).floor_watts if member.rating is not None else 0.0


def _excess_watts(member: Member) -> float:
    """What the lowest limits of the node are above those of its hardware."""
    if member.rating is None:
        return 0.0
    hardware = sum(gpu.min_watts for gpu in member.rating.gpus)
    return _lowest_watts(member) - member.rating.host_max_watts - SENSOR_GAIN * hardware
