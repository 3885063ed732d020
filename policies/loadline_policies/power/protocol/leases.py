"""
The node's side of the protocol: whom to obey, and until when.

A node obeys one coordinator at a time. While its lease lives it takes only a
higher epoch or sequence of the same Kubernetes Lease; without one it takes any
holder whose certificate the transport has verified. A lease lives from when the
node *sent* the request that it answers, so a late answer is a short lease, and a
very late one is none. Everything refused is refused with a reason that is counted.

Time comes in as `now`, in seconds on the node's boot clock.
"""

from dataclasses import dataclass, replace

from loadline_policies.errors import LeaseRefused, shown
from loadline_policies.power.protocol.bounds import (
    BUDGET_WATTS,
    CLOCK_MHZ,
    COUNTS,
    LEASE_SECONDS,
    NAMES,
    TRANSITIONS,
)
from loadline_policies.power.protocol.messages import Act, Epoch, GpuLimit, GpuReport, Lease
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.safety.breakers import TRIP


@dataclass(frozen=True, slots=True)
class Holding:
    """The lease that a node has taken, and when it ends."""

    lease: Lease
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a node stands in the protocol.

    `armed` since the first Enforce lease until a finished release. `inherited_until_s`
    is the deadline of a record found armed at start, whose lease isn't known any more.
    """

    holding: Holding | None = None
    armed: bool = False
    inherited_until_s: float | None = None

    def live(self, now: float) -> bool:
        """Whether a lease binds the node now."""
        return self.holding is not None and now < self.holding.deadline_s

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that the node last took."""
        return self.holding.lease.epoch if self.holding else None

    @property
    def deadline_s(self) -> float | None:
        """When the node must be at its safe limits, unless somebody renews; None when disarmed."""
        if not self.armed:
            return None
        if self.holding is None:
            return self.inherited_until_s
        return self.holding.deadline_s


def accept(
    standing: Standing,
    lease: Lease,
    *,
    domain: str,
    gpus: tuple[GpuReport, ...],
    sequence: int,
    sent_s: float,
    now: float,
    takes_over: bool = False,
) -> Standing:
    """The standing after taking `lease` as the answer to report `sequence`, sent at `sent_s`.

    `takes_over` says that another domain has armed the node, and is gone. Raises LeaseRefused, and the
    standing stays as it was.
    """
    _check_numbers(lease)
    _check_answer(lease, domain=domain, sequence=sequence, sent_s=sent_s, now=now)
    _check_holder(standing, lease, now=now)
    _check_limits(lease, gpus)
    if takes_over:
        _check_take_over(lease, gpus)
    if lease.act is Act.OBSERVE and standing.armed:
        raise LeaseRefused("NotReleased", "an armed node is released, not told to observe")
    return Standing(
        holding=Holding(lease, sent_s + lease.lease_s), armed=standing.armed or lease.act is Act.ENFORCE
    )


def released(standing: Standing) -> Standing:
    """The standing once the limits found before the first write are back."""
    return replace(standing, armed=False, inherited_until_s=None)


def _check_numbers(lease: Lease) -> None:
    """What no coordinator of this protocol says; the watts of limits are checked against the GPUs' ranges."""
    for name, value, most in (
        ("epoch.transitions", lease.epoch.transitions, TRANSITIONS),
        ("sequence", lease.sequence, COUNTS),
        ("planVersion", lease.plan_version, COUNTS),
        ("triggerWatts", lease.trigger_watts, 2.0 * BUDGET_WATTS[1]),
        ("heat", lease.heat, TRIP),
    ):
        if not 0 <= value <= most:
            raise LeaseRefused("Implausible", f"{name} is {shown(value)}: 0 to {most:g}")
    for name, text in (("epoch.leaseUid", lease.epoch.lease_uid), ("policyLevel", lease.policy_level or "")):
        if len(text) > NAMES:
            raise LeaseRefused("Implausible", f"{name} has {len(text)} characters: at most {NAMES}")


def _check_answer(lease: Lease, *, domain: str, sequence: int, sent_s: float, now: float) -> None:
    if lease.domain != domain:
        raise LeaseRefused("WrongDomain", f"the lease is for {lease.domain!r}, the node is in {domain!r}")
    if lease.answers != sequence:
        raise LeaseRefused("Replayed", f"the lease answers report {lease.answers}, not {sequence}")
    if not 0 < lease.lease_s <= LEASE_SECONDS[1]:
        raise LeaseRefused("BadDuration", f"leaseSeconds is {lease.lease_s}: at most {LEASE_SECONDS[1]}")
    if now >= sent_s + lease.lease_s:
        raise LeaseRefused("Expired", f"the answer took {now - sent_s:.1f} s, the lease is {lease.lease_s} s")


def _check_holder(standing: Standing, lease: Lease, *, now: float) -> None:
    if not standing.live(now):
        return
    assert standing.holding is not None
    held = standing.holding.lease
    if lease.epoch.lease_uid != held.epoch.lease_uid:
        raise LeaseRefused("OtherLease", "a live lease of another Kubernetes Lease is in force")
    if (lease.epoch, lease.sequence) <= (held.epoch, held.sequence):
        raise LeaseRefused(
            "OldEpoch",
            f"epoch {lease.epoch.transitions} sequence {lease.sequence} isn't above the live "
            f"{held.epoch.transitions}/{held.sequence}",
        )


def _check_take_over(lease: Lease, gpus: tuple[GpuReport, ...]) -> None:
    """An orphan is taken over as it is: armed, and with no limit above what it holds."""
    if lease.act is not Act.ENFORCE:
        raise LeaseRefused("NotReleased", "a node that another domain has armed is taken over armed")
    held = {gpu.uuid: gpu.stepped_down_watts for gpu in gpus}
    for limit in lease.limits:
        if limit.watts > held[limit.uuid] + ROUNDING_WATTS:
            raise LeaseRefused(
                "TakeOverRaises",
                f"{limit.uuid} holds {held[limit.uuid]:.0f} W, and would be taken over with"
                f" {limit.watts:.0f} W",
            )


def _check_limits(lease: Lease, gpus: tuple[GpuReport, ...]) -> None:
    if lease.act is not Act.ENFORCE:
        return
    ranges = {gpu.uuid: gpu for gpu in gpus}
    if {limit.uuid for limit in lease.limits} != ranges.keys():
        raise LeaseRefused("WrongGpus", "the lease doesn't name exactly this node's GPUs")
    for limit in lease.limits:
        _check_range(limit, ranges[limit.uuid])


def _check_range(limit: GpuLimit, gpu: GpuReport) -> None:
    for name, watts in (("watts", limit.watts), ("safe watts", limit.safe_watts)):
        if not gpu.min_watts <= watts <= gpu.max_watts:
            raise LeaseRefused(
                "OutOfRange",
                f"{gpu.uuid} can't hold {name} of {watts:.0f}: its range is "
                f"{gpu.min_watts:.0f} to {gpu.max_watts:.0f}",
            )
    if limit.clock_mhz is not None and not CLOCK_MHZ[0] <= limit.clock_mhz <= CLOCK_MHZ[1]:
        least, most = CLOCK_MHZ
        told = shown(limit.clock_mhz)
        raise LeaseRefused("OutOfRange", f"{gpu.uuid} can't run at {told} MHz: {least} to {most}")
