"""
What the plan of a power domain needs to know of nodes, capacities, Leases and domains.

Each is a few fields taken from an object at the door; the object is then forgotten.
What isn't here can't wake a reconcile: heartbeats, renewals, and the half of a
domain's status that its coordinator writes.
"""

from dataclasses import dataclass

from loadline_api.conditions import OPERATOR_DOMAIN_CONDITIONS, ConditionType, bars_limits, find
from loadline_api.names import CANDIDATES_ANNOTATION, DOMAIN_LABEL
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import OperatorDomainStatus, PowerDomain, PowerDomainSpec
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Manifest
from loadline_policies.power.safety.safe_states import GpuRating


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node: where it may belong by its labels, and whether its kubelet calls it Ready."""

    name: str
    labels: dict[str, str]
    ready: bool

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the node has all of these labels."""
        return labels.items() <= self.labels.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a node's agent has found; `gpus` is None while it hasn't told what they can draw.

    `armed_for` is the domain whose leases the node obeys, None where it obeys none. `stale` says
    that nobody vouches for it any more: whether its limits can be set isn't known then.
    """

    node: str
    gpus: tuple[GpuRating, ...] | None
    settable: bool
    armed_for: str | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainLease:
    """A domain's Lease as far as it is the operator's, and who holds it."""

    domain: str
    owner_uid: str
    candidates: tuple[str, ...]
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A power domain with the operator's own half of its status."""

    name: str
    uid: str
    created: str
    generation: int
    spec: PowerDomainSpec
    status: OperatorDomainStatus

    @property
    def labels(self) -> dict[str, str]:
        """The labels that select its nodes; none for a domain of domains."""
        return self.spec.node_selector.match_labels if self.spec.node_selector is not None else {}


def node(raw: Manifest) -> Node:
    conditions = raw.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    metadata = raw["metadata"]
    return Node(name=metadata["name"], labels=dict(metadata.get("labels") or {}), ready=ready)


def capacity(raw: Manifest) -> Capacity:
    """The fact of a NodeCapacity; InvalidInput where it can't be read."""
    capacity = NodeCapacity.parse(raw)
    status = capacity.status
    settable = find(status.conditions, ConditionType.LIMITS_SETTABLE)
    enforcing = find(status.conditions, ConditionType.ENFORCING)
    told = bool(status.gpus or status.conditions)
    known = told and all(gpu.max_watts is not None for gpu in status.gpus)
    return Capacity(
        node=capacity.metadata.name,
        gpus=tuple(
            GpuRating(gpu.uuid, float(gpu.min_watts or gpu.max_watts or 0), float(gpu.max_watts or 0))
            for gpu in status.gpus
        )
        if known
        else None,
        settable=settable is None or not bars_limits(settable),
        stale=settable is not None and settable.reason == Reason.NOT_REFRESHED,
        armed_for=status.domain if enforcing is not None and enforcing.is_true else None,
    )


def lease(raw: Manifest) -> DomainLease:
    """The fact of a domain's Lease."""
    metadata = raw["metadata"]
    annotation = (metadata.get("annotations") or {}).get(CANDIDATES_ANNOTATION, "")
    owners = metadata.get("ownerReferences") or ()
    return DomainLease(
        domain=(metadata.get("labels") or {}).get(DOMAIN_LABEL, ""),
        owner_uid=owners[0]["uid"] if owners else "",
        candidates=tuple(filter(None, annotation.split(","))),
        holder=raw.get("spec", {}).get("holderIdentity") or "",
    )


def domain(raw: Manifest) -> Domain:
    """The fact of a PowerDomain; InvalidInput where its spec is of another version."""
    parsed = PowerDomain.parse(raw)
    ours = OperatorDomainStatus.model_validate(raw.get("status") or {})
    conditions = tuple(one for one in ours.conditions if one.type in OPERATOR_DOMAIN_CONDITIONS)
    return Domain(
        name=parsed.metadata.name,
        uid=parsed.metadata.uid,
        created=parsed.metadata.creation_timestamp,
        generation=parsed.metadata.generation,
        spec=parsed.spec,
        status=ours.model_copy(update={"conditions": conditions}),
    )
