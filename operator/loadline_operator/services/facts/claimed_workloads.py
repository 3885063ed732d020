"""
Which workload of somebody else a service claims, as `workloadRef` names it.

Two services with equal claims are rivals, and none of them acts; so are two of which one claims
the owner of what the other claims, since they have the same pods. The index finds them by it.
"""

from typing import NamedTuple

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import Kind
from loadline_operator.services.facts import foreign_workloads
from loadline_operator.services.facts.foreign_workloads import ForeignWorkload


class WorkloadClaim(NamedTuple):
    """The one object that a service names, whatever version of its API it is written in."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def kind_of(service: InferenceService) -> Kind | None:
    """The kind of the workload that a service names; None for no workloadRef, or one of an older CRD."""
    ref = service.spec.workload_ref
    row = foreign_workloads.find(ref.api_version, ref.kind) if ref is not None else None
    return row.kind if row is not None else None


def claim(service: InferenceService) -> WorkloadClaim | None:
    """What a service claims; services with equal claims are rivals."""
    ref = service.spec.workload_ref
    if ref is None:
        return None
    group = ref.api_version.rpartition("/")[0]
    return WorkloadClaim(group, ref.kind, service.metadata.namespace, ref.name)


def claim_on_owner(there: ForeignWorkload) -> WorkloadClaim | None:
    """The claim of a service that names what controls this workload."""
    if there.owner is None:
        return None
    group = there.owner.api_version.rpartition("/")[0]
    return WorkloadClaim(group, there.owner.kind, there.key.namespace, there.owner.name)
