"""
From the row's caps to one GPU's limit.

A limit is the least of six: what the policy wishes for the GPU's class, the watts
that the services on it allow, what its owner had set (`Ceiling`), the safe limit
where the row must be safe, what is in force where nobody may be raised, and what
the GPU can hold. A GPU that is relieved is let off the first, and off nothing
else. The reason why a row isn't led by the policy's wish is kept beside it, since
people ask.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from loadline_policies.power.protocol.domains import Ceiling, Domain
from loadline_policies.power.protocol.messages import GpuLimit, GpuReport
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.rows import FREE, Cap, Caps, Priority

INFINITE = float("inf")

STEP_WATTS = 1.0
"""The least change of a limit that every driver shows when it is read back."""


class HoldReason(StrEnum):
    """Why the row isn't led by what the policy wishes.

    A new coordinator leaves everything as it finds it until it has heard its members;
    the others hold the row at its safe limits.
    """

    NOT = ""
    NEW = "Acquainting"
    UNKNOWN = "MembersUnknown"
    SILENT = "TooManySilentNodes"
    UNHOLDABLE = "CannotBeHeld"
    HEAT = "BreakerHot"
    DRILL = "Drill"


SAFE_REASONS = frozenset(HoldReason) - {HoldReason.NOT, HoldReason.NEW}
"""Reasons for which every GPU is at its safe limit or below."""


class Raising(StrEnum):
    """How far a coordinator may raise a limit, given how sure it is to be alone."""

    FREELY = "Freely"
    TO_SAFE = "ToSafe"
    NOT = "Not"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrders:
    """What the whole row is told at one moment; `relieved` are the GPUs let off their class's cap."""

    caps: Caps
    held: HoldReason = HoldReason.NOT
    relieved: frozenset[str] = frozenset()

    @property
    def safe(self) -> bool:
        """Whether every GPU is at its safe limit or below."""
        return self.caps.brake or self.held in SAFE_REASONS

    @property
    def free(self) -> bool:
        """Whether the row holds nobody back."""
        return self.held is HoldReason.NOT and not self.caps.brake and self.caps.low == self.caps.high == FREE

    def lowers(self, before: "RowOrders", gpus: Iterable[str]) -> bool:
        """Whether some of these GPUs get less than they were told before."""
        if self.safe and not before.safe:
            return True
        if _less(self.caps.low, before.caps.low) or _less(self.caps.high, before.caps.high):
            return True
        taken_back = before.relieved - self.relieved
        return self.caps.high != FREE and not taken_back.isdisjoint(gpus)


UNTOLD = RowOrders(caps=Caps())
"""What a node has that was told nothing, or isn't known to have heard."""


def _less(new: Cap, old: Cap) -> bool:
    return (new.clock_mhz or INFINITE) < (old.clock_mhz or INFINITE) or (new.watts or INFINITE) < (
        old.watts or INFINITE
    )


def priority_of(gpu: GpuReport, domain: Domain) -> Priority:
    """The class of a GPU: that of the highest service on it, low when nobody's."""
    return Priority.HIGH if any(map(domain.is_high, gpu.owners)) else Priority.LOW


def allowed_watts(gpu: GpuReport, domain: Domain) -> float:
    """The most that the GPU may be given: under the domain's ceiling, and as every service on it allows."""
    most = min(_ceiling_watts(gpu, domain.ceiling), _services_watts(gpu, domain))
    return max(gpu.min_watts, most)


def bounded(gpus: Iterable[GpuReport], domain: Domain) -> bool:
    """Whether a service holds one of these below what it can draw, however free the row is."""
    return any(_services_watts(gpu, domain) < gpu.max_watts for gpu in gpus)


def limited(gpus: Iterable[GpuReport]) -> bool:
    """Whether one of these would rise if it got back what its owner had set."""
    return any(gpu.enforced_watts + ROUNDING_WATTS < _ceiling_watts(gpu, Ceiling.FOUND) for gpu in gpus)


def _ceiling_watts(gpu: GpuReport, ceiling: Ceiling) -> float:
    """Nobody is raised above what its owner had set; the next best word on that is the driver's default."""
    known = [gpu.default_watts] if ceiling is Ceiling.DEFAULT else [gpu.found_watts, gpu.default_watts]
    told = [watts for watts in known if watts is not None and ceiling is not Ceiling.MAXIMUM]
    return min(gpu.max_watts, told[0]) if told else gpu.max_watts


def _services_watts(gpu: GpuReport, domain: Domain) -> float:
    allowed = (domain.terms_of(owner).max_watts for owner in gpu.owners)
    return min((watts for watts in allowed if watts is not None), default=INFINITE)


def limit_of(
    gpu: GpuReport,
    orders: RowOrders,
    domain: Domain,
    *,
    safe_watts: float,
    raising: Raising,
    probe: bool = False,
) -> GpuLimit:
    """What one GPU is told: watts for the hardware's own limit, and a clock that only shapes performance.

    One whose writes fail is told its safe limit, and at a `probe` a step less, or more where there
    is no less: what it is told must change, or no write could succeed. One that was never
    written is told a step less than it holds, so that there is something to read back; one
    that holds its least is raised by no more than a step first. Nobody is told what its GPU can't hold:
    the node would refuse the whole lease for it.
    """
    cap = _cap_of(gpu, orders, domain=domain, raising=raising)
    watts = min(allowed_watts(gpu, domain), cap.watts or INFINITE)
    if orders.safe or not gpu.able:
        watts = min(watts, safe_watts)
    if probe and not gpu.able:
        watts += -STEP_WATTS if watts - STEP_WATTS >= gpu.min_watts else STEP_WATTS
    if gpu.able and not gpu.proven:
        lower_watts = gpu.enforced_watts - STEP_WATTS
        watts = min(watts, lower_watts if lower_watts >= gpu.min_watts else gpu.enforced_watts + STEP_WATTS)
    if raising is Raising.NOT:
        watts = min(watts, gpu.enforced_watts)
    elif raising is Raising.TO_SAFE:
        watts = min(watts, max(gpu.enforced_watts, safe_watts))
    return GpuLimit(
        uuid=gpu.uuid,
        watts=_within(gpu, watts),
        safe_watts=_within(gpu, safe_watts),
        clock_mhz=cap.clock_mhz,
    )


def _within(gpu: GpuReport, watts: float) -> float:
    return max(gpu.min_watts, min(watts, gpu.max_watts))


def taken_over(limit: GpuLimit, gpu: GpuReport) -> GpuLimit:
    """A limit for a GPU whose node is taken over armed: nothing is raised by that, not even to safe."""
    return replace(limit, watts=max(gpu.min_watts, min(limit.watts, gpu.stepped_down_watts)))


def _cap_of(gpu: GpuReport, orders: RowOrders, *, domain: Domain, raising: Raising) -> Cap:
    if orders.held is HoldReason.NEW:
        return Cap(clock_mhz=gpu.clock_mhz)
    if gpu.uuid in orders.relieved and not orders.safe and raising is Raising.FREELY:
        return FREE
    return orders.caps.of(priority_of(gpu, domain))
