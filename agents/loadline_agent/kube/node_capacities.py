"""
The node's own NodeCapacity, kept as it should be and written only on a change.

The spec is who the agent is: it is there before anybody can trust the node. The status
holds slow facts, so a change of limits waits until ten seconds have passed since the
last write, while a change of conditions, GPUs, services or domain goes out at once. What hasn't changed
is written again every two minutes, so that it can be told from a dead agent's words. Whatever was
written is read again now and then: an object that somebody has deleted or altered is
written anew. Nobody else may write it, the admission policy sees to that.

`status_of` is pure and says what the facts look like; `NodeCapacityWriter` writes them.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from loadline_agent.domain.tls_identity import Identity
from loadline_agent.hardware.gpu_sentences import named
from loadline_agent.kube.clients import Kube, Object
from loadline_api.api_errors import KubeError, NotFound, WriteConflict
from loadline_api.conditions import Condition, ConditionType, condition, merge, timestamp
from loadline_api.names import AGENT_MANAGER, API_VERSION, NODE_CAPACITIES
from loadline_api.node_capacities import (
    Gpu,
    NodeCapacity,
    NodeCapacitySpec,
    NodeCapacityStatus,
    ServiceOnNode,
)
from loadline_api.reasons import Reason
from loadline_api.refreshes import NODE_REFRESH_SECONDS
from loadline_api.reports import WIRE_VERSION
from loadline_policies.errors import InvalidInput

LEAST_APART_S = 10.0
"""Between two writes of limits: slow facts only, the fast ones are metrics. Chosen."""

CHECK_EVERY_S = 60.0
"""How often the object is read to see that it is still as it was written. Chosen."""

TURN_S = 1.0
"""How often there may be something to do; an attempt that failed is repeated after it."""

GPU_REASONS = (
    Reason.DRIVER_MISMATCH,
    Reason.DRIVER_MISSING,
    Reason.NO_GPUS,
    Reason.GPU_LOST,
    Reason.GPU_UNREADABLE,
    Reason.SENSOR_STUCK,
    Reason.SENSOR_IMPLAUSIBLE,
    Reason.SENSOR_MISSING,
)
SETTING_REASONS = (
    Reason.DRIVER_MISMATCH,
    Reason.DRIVER_MISSING,
    Reason.NO_GPUS,
    Reason.MISSING_PRIVILEGE,
    Reason.WRITES_FAIL,
    Reason.RANGE_UNKNOWN,
)
LIMITED_REASONS = (Reason.PERSISTENCE_OFF, Reason.CLOCKS_UNLISTED)
"""What is to be said where limits can be set: the first is the condition's reason."""

CONFLICT_REASONS = (Reason.OTHER_WRITER, Reason.NODE_CLAIMED_TWICE)
"""Faults by the condition that shows them, the gravest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the agent knows of its node. `faults` maps a word of the API's table to the sentence why.

    `services` is None while it isn't known who is here: what was written of them then stays, and so is
    `unowned`, the GPUs in use by no pod that is known. `proven` says that on every GPU a limit was written,
    changed what was there, and was read back.
    """

    domain: str | None = None
    host_max_watts: float | None = None
    gpus: tuple[Gpu, ...] = ()
    services: tuple[ServiceOnNode, ...] | None = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    unowned: tuple[str, ...] | None = None
    armed: bool = False
    proven: bool = False


def status_of(facts: Facts) -> NodeCapacityStatus:
    """The facts as the API shows them; conditions without their times."""
    return NodeCapacityStatus(
        domain=facts.domain,
        wire_version=WIRE_VERSION,
        refresh_seconds=NODE_REFRESH_SECONDS,
        host_max_watts=max(1, round(facts.host_max_watts)) if facts.host_max_watts is not None else None,
        gpus=tuple(sorted(facts.gpus, key=lambda gpu: gpu.uuid)),
        services=facts.services or (),
        conditions=(
            _shown(
                ConditionType.GPUS_READY,
                good=True,
                fine=Reason.ALL_SEEN,
                reasons=GPU_REASONS,
                faults=facts.faults,
                evident=True,
            ),
            _shown(
                ConditionType.LIMITS_SETTABLE,
                good=True,
                fine=Reason.WRITABLE,
                remarks=LIMITED_REASONS,
                reasons=SETTING_REASONS,
                faults=facts.faults,
                evident=facts.proven,
            ),
            _shown(
                ConditionType.CONFLICT,
                good=False,
                fine=Reason.SOLE_WRITER,
                reasons=CONFLICT_REASONS,
                faults=facts.faults,
                evident=facts.armed and facts.proven,
            ),
            _enforcing(facts),
            _owners_known(facts),
        ),
    )


def urgent(written: NodeCapacityStatus | None, wanted: NodeCapacityStatus) -> bool:
    """Whether `wanted` differs in more than limits and clocks, so that it shouldn't wait."""
    return written is None or _without_limits(written) != _without_limits(wanted)


class NodeCapacityWriter:
    """Writes the NodeCapacity of one node. `problem` says why the last attempt failed.

    `found` is told what a predecessor has written, so that a restart turns no fact.
    """

    def __init__(
        self,
        kube: Kube,
        identity: Identity,
        *,
        facts: Callable[[], Facts],
        clock: Callable[[], float],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        found: Callable[[NodeCapacityStatus], None] | None = None,
    ) -> None:
        self.problem: str | None = None
        self._kube, self._identity, self._facts = kube, identity, facts
        self._clock, self._wall, self._found = clock, wall, found
        self._path = NODE_CAPACITIES.path(identity.node)
        self._spec = NodeCapacitySpec(certificate=identity.pem, address=identity.address)
        self._written: NodeCapacityStatus | None = None
        self._settled: Facts | None = None
        self._written_s = self._checked_s = float("-inf")

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(TURN_S)

    async def step(self) -> None:
        """Do what is due, once."""
        try:
            if self._clock() - self._checked_s >= CHECK_EVERY_S:
                await self._check()
            await self._write_status()
            self.problem = None
        except (KubeError, InvalidInput) as error:
            self.problem = str(error)
            self._checked_s = float("-inf")  # whatever happened, read before writing again

    async def _check(self) -> None:
        """Read what is there; fix the spec, and remember the status to compare with."""
        self._settled = None
        try:
            existing = NodeCapacity.parse(await self._kube.get(self._path))
        except NotFound:
            await self._create()
            self._written = None
        except InvalidInput:
            await self._apply({"spec": self._spec.to_api()})
            self._written = None
        else:
            if existing.spec != self._spec:
                await self._apply({"spec": self._spec.to_api()})
            self._written = existing.status
            self._recall(existing.status)
        self._checked_s = self._clock()

    def _recall(self, status: NodeCapacityStatus) -> None:
        """Take over what a predecessor has written, and tell of it, once."""
        if self._written_s == float("-inf"):
            self._written_s = self._clock() - _age_s(status.observed_time, self._wall())
        if self._found is not None:
            self._found(status)
            self._found = None

    async def _create(self) -> None:
        node = await self._kube.get(f"/api/v1/nodes/{self._identity.node}")
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._identity.node}
        owner["uid"] = str(node["metadata"]["uid"])  # so that it goes when the Node goes
        body = self._body({"spec": self._spec.to_api()})
        body["metadata"]["ownerReferences"] = [owner]
        try:
            await self._kube.create(NODE_CAPACITIES.path(), body)
        except WriteConflict:
            await self._apply({"spec": self._spec.to_api()})

    async def _write_status(self) -> None:
        facts = self._facts()
        if facts == self._settled and self._clock() - self._written_s < NODE_REFRESH_SECONDS:
            return
        wanted = status_of(facts)
        if facts.services is None and self._written is not None:
            wanted = wanted.model_copy(update={"services": self._written.services})
        before = self._written.conditions if self._written is not None else ()
        now, wall = self._clock(), self._wall()
        wanted = wanted.model_copy(update={"conditions": merge(before, wanted.conditions, now=wall)})
        age_s = now - self._written_s
        same = self._written is not None and _comparable(self._written) == _comparable(wanted)
        if same and age_s < NODE_REFRESH_SECONDS:
            self._settled = facts
            return
        if not urgent(self._written, wanted) and age_s < LEAST_APART_S:
            return
        wanted = wanted.model_copy(update={"observed_time": timestamp(wall)})
        await self._apply({"status": wanted.to_api()}, subresource="status")
        self._written, self._written_s, self._settled = wanted, now, facts

    async def _apply(self, part: Object, subresource: str = "") -> None:
        await self._kube.apply(self._path, self._body(part), manager=AGENT_MANAGER, subresource=subresource)

    def _body(self, part: Object) -> Object:
        metadata = {"name": self._identity.node}
        return {"apiVersion": API_VERSION, "kind": NODE_CAPACITIES.kind, "metadata": metadata, **part}


def _age_s(time: str | None, now: datetime) -> float:
    """How long ago something was written on this node; infinite where that isn't told."""
    try:
        return max(0.0, (now - datetime.fromisoformat(time or "")).total_seconds())
    except (ValueError, TypeError):  # no time, or one without a zone
        return float("inf")


def _shown(
    type: ConditionType,
    *,
    good: bool,
    fine: Reason,
    reasons: tuple[Reason, ...],
    faults: Mapping[str, str],
    evident: bool,
    remarks: tuple[Reason, ...] = (),
) -> Condition:
    """The faults that this condition shows, by the gravest; or that all is fine, if that is evident.

    `remarks` are what is to be said though all is fine, as where limits are set that the driver won't keep.
    """
    if any(one in faults for one in reasons):
        so, shown = not good, reasons
    elif not evident:
        return condition(type, so=None, reason=Reason.NOT_WRITTEN)
    else:
        so, shown = good, remarks
    found = [one for one in shown if one in faults]
    reason = found[0] if found else fine
    return condition(type, so=so, reason=reason, message="; ".join([faults[one] for one in found]))


def _enforcing(facts: Facts) -> Condition:
    """Armed or not, and why the one without a domain, or the other with a limit of ours left."""
    fine = Reason.MODE_ENFORCE if facts.armed else Reason.MODE_OBSERVE
    armed_reasons = (Reason.ORPHANED, Reason.FOUND_BELOW_DEFAULT)
    reasons = armed_reasons if facts.armed else (Reason.STATE_LOST, Reason.LEFT_BEHIND)
    reason = next((one for one in reasons if one in facts.faults), fine)
    sentence = facts.faults.get(reason, "")
    return condition(ConditionType.ENFORCING, so=facts.armed, reason=reason, message=sentence)


def _owners_known(facts: Facts) -> Condition:
    """Whether it is known whose every GPU is that draws."""
    if facts.unowned is None:
        return condition(ConditionType.OWNERS_KNOWN, so=None, reason=Reason.NOT_TOLD)
    if not facts.unowned:
        return condition(ConditionType.OWNERS_KNOWN, so=True, reason=Reason.ALL_OWNED)
    text = (
        f"the agent knows no pod that has {named(facts.unowned)}, but it may be in use: each counts at"
        " the highest priority. Let only pods use GPUs, and check that the agent reaches the kubelet's"
        " pod-resources socket (agent.kubeletPodResources)"
    )
    return condition(ConditionType.OWNERS_KNOWN, so=False, reason=Reason.OWNER_UNKNOWN, message=text)


def _comparable(status: NodeCapacityStatus) -> NodeCapacityStatus:
    """Without what the server or the order of a list may have changed."""
    conditions = tuple(sorted(status.conditions, key=lambda one: one.type))
    unlike = {"observed_generation": None, "observed_time": None}
    return status.model_copy(update={**unlike, "conditions": conditions})


def _without_limits(status: NodeCapacityStatus) -> NodeCapacityStatus:
    gpus = tuple(
        gpu.model_copy(update={"enforced_watts": None, "clock_cap_mhz": None, "module_limit_watts": None})
        for gpu in status.gpus
    )
    return _comparable(status).model_copy(update={"gpus": gpus})
