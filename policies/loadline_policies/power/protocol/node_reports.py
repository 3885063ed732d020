"""
What a node tells its coordinator, made of one look at its GPUs.

A GPU whose sensor can't be believed counts at the limit in force, which it can't exceed by
much, never at its last reading. A limit that a BMC holds below the requested one counts at
the requested one, so that its lifting surprises nobody. One that was written and isn't in
force yet counts at the higher of both, also while its order is still being carried out: a
node may die in between, and then nobody would know of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from loadline_policies.power.protocol.leases import Standing
from loadline_policies.power.protocol.messages import Act, GpuReport, Lease, Report, ServiceReport
from loadline_policies.power.protocol.node_states import GpuState, Home, NodeState

SETTLED_AFTER_S: Final = 1.0
"""A write that isn't read back after this time won't be: what is read then counts alone. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWorkloads:
    """Whose pods are on a GPU, and how their services do."""

    owners: Callable[[str], tuple[str, ...]] = lambda uuid: ()
    services: Callable[[], tuple[ServiceReport, ...]] = tuple


@dataclass(frozen=True, slots=True)
class Heard:
    """What a lease told for the next coordinator: the breaker's heat, and the policy's level.

    `asked_s` is when the report was sent that the lease answers.
    """

    heat: float
    policy_level: str | None
    asked_s: float


@dataclass(frozen=True, slots=True)
class UnsettledLimits:
    """Limits by GPU that were ordered and not seen in force: until then a GPU may hold either.

    `written_s` is None while the order is being carried out.
    """

    watts: Mapping[str, float] = field(default_factory=dict)
    written_s: float | None = float("-inf")

    def ordered(self, lease: Lease, state: NodeState) -> "UnsettledLimits":
        """The same while a lease's order is carried out; a release may ask for all that a GPU holds."""
        if lease.act is Act.RELEASE:
            return self.released(state)
        return self._asked({limit.uuid: limit.watts for limit in lease.limits})

    def released(self, state: NodeState) -> "UnsettledLimits":
        """The same while what was found is given back."""
        return self._asked({gpu.uuid: gpu.max_watts for gpu in state.gpus})

    def _asked(self, watts: Mapping[str, float]) -> "UnsettledLimits":
        most = {uuid: max(one, self.watts.get(uuid, 0.0)) for uuid, one in watts.items()}
        return UnsettledLimits(most, None)

    def seen(self, state: NodeState) -> "UnsettledLimits":
        """What is left of them after a look."""
        if self.written_s is None or state.read_s <= self.written_s:
            return self
        settled = state.settled or state.read_s - self.written_s >= SETTLED_AFTER_S
        return SETTLED if settled else self


SETTLED: Final = UnsettledLimits()


def report_of(
    node: str,
    state: NodeState,
    standing: Standing,
    *,
    domain: str,
    armed_for: str | None,
    home: Home,
    sequence: int,
    now: float,
    heard: Heard | None,
    faults: tuple[str, ...],
    unsettled: UnsettledLimits,
    workloads: NodeWorkloads,
) -> Report:
    """The report of a node for `domain`; `armed_for` is another one that has armed it, if there is one.

    Its epochs are of another Kubernetes Lease then, and none of `domain`'s business.
    """
    ours = standing.holding is not None and standing.live(now) and armed_for is None
    held = standing.holding.lease if ours and standing.holding is not None else None
    gpus = tuple([_gpu(gpu, state, unsettled, owners=workloads.owners(gpu.uuid)) for gpu in state.gpus])
    return Report(
        node=node,
        domain=domain,
        sequence=sequence,
        age_s=round(state.age_s(now), 3),
        host_watts=state.host_watts(home, gpu_watts=sum([gpu.watts for gpu in gpus])),
        host_max_watts=home.host_max_watts,
        gpus=gpus,
        epoch=held.epoch if held is not None else None,
        lease_sequence=held.sequence if held is not None else 0,
        armed=standing.armed,
        armed_for=armed_for,
        plan_version=state.plan_version if standing.armed else 0,
        heat=heard.heat if heard is not None else None,
        heat_age_s=round(max(0.0, now - heard.asked_s), 3) if heard is not None else None,
        policy_level=heard.policy_level if heard is not None else None,
        settable=state.settable,
        faults=faults,
        services=workloads.services(),
    )


def _gpu(
    gpu: GpuState, state: NodeState, unsettled: UnsettledLimits, *, owners: tuple[str, ...]
) -> GpuReport:
    enforced_watts = max(gpu.most_watts, gpu.requested_watts or 0.0, unsettled.watts.get(gpu.uuid, 0.0))
    return GpuReport(
        uuid=gpu.uuid,
        watts=round(gpu.watts, 1),
        enforced_watts=enforced_watts,
        min_watts=gpu.min_watts,
        max_watts=gpu.max_watts,
        safe_watts=gpu.safe_watts if state.armed else None,
        clock_mhz=gpu.clock_mhz,
        owners=owners,
        able=gpu.able,
        proven=gpu.proven,
        found_watts=gpu.found_watts,
        default_watts=gpu.default_watts,
        in_force_watts=gpu.enforced_watts if gpu.enforced_watts != enforced_watts else None,
    )
