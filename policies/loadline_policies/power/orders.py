"""
From the row's caps to one GPU's limit.

A limit is the least of four: what the policy wishes for the GPU's class, the safe
limit where the row must be safe, what is in force where nobody may be raised, and
what the GPU can hold. The reason why a row isn't led by the policy's wish is kept
beside it, since people ask.
"""

from dataclasses import dataclass
from enum import StrEnum

from loadline_policies.power.domains import Domain
from loadline_policies.power.messages import GpuLimit, GpuReport
from loadline_policies.power.rows import Cap, Caps, Priority

INFINITE = float("inf")


class Held(StrEnum):
    """Why the row isn't led by what the policy wishes.

    A new coordinator leaves everything as it finds it until it has heard its members;
    the others hold the row at its safe limits.
    """

    NOT = ""
    NEW = "Acquainting"
    UNKNOWN = "MembersUnknown"
    SILENT = "TooManySilentNodes"
    HEAT = "BreakerHot"


class Raising(StrEnum):
    """How far a coordinator may raise a limit, given how sure it is to be alone."""

    FREELY = "Freely"
    TO_SAFE = "ToSafe"
    NOT = "Not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the whole row is told at one moment."""

    caps: Caps
    held: Held = Held.NOT

    @property
    def safe(self) -> bool:
        """Whether every GPU is at its safe limit or below."""
        return self.caps.brake or self.held in (Held.UNKNOWN, Held.SILENT, Held.HEAT)

    def lowers(self, before: "Orders") -> bool:
        """Whether some GPU gets less than it was told before."""
        if self.safe and not before.safe:
            return True
        return _less(self.caps.low, before.caps.low) or _less(self.caps.high, before.caps.high)


UNTOLD = Orders(caps=Caps())
"""What a node has that was told nothing, or isn't known to have heard."""


def _less(new: Cap, old: Cap) -> bool:
    return (new.clock_mhz or INFINITE) < (old.clock_mhz or INFINITE) or (new.watts or INFINITE) < (
        old.watts or INFINITE
    )


def priority_of(gpu: GpuReport, domain: Domain) -> Priority:
    """The class of a GPU: that of the highest service on it, low when nobody's."""
    highest = max((domain.priorities.get(owner, 0) for owner in gpu.owners), default=None)
    if highest is not None and highest >= domain.document.high_priority_from:
        return Priority.HIGH
    return Priority.LOW


def limit_of(
    gpu: GpuReport, orders: Orders, domain: Domain, *, safe_watts: float, raising: Raising
) -> GpuLimit:
    """What one GPU is told: watts for the hardware's own limit, and a clock that only shapes performance."""
    cap = orders.caps.of(priority_of(gpu, domain))
    if orders.held is Held.NEW:
        cap = Cap(clock_mhz=gpu.clock_mhz)
    watts = min(gpu.max_watts, cap.watts or INFINITE)
    if orders.safe:
        watts = min(watts, safe_watts)
    if raising is Raising.NOT:
        watts = min(watts, gpu.enforced_watts)
    elif raising is Raising.TO_SAFE:
        watts = min(watts, max(gpu.enforced_watts, safe_watts))
    return GpuLimit(
        uuid=gpu.uuid, watts=max(gpu.min_watts, watts), safe_watts=safe_watts, clock_mhz=cap.clock_mhz
    )
