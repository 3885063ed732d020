"""What the operator remembers of an InferenceService: enough to lead events to the services they concern."""

from dataclasses import dataclass

from loadline_api.conditions import Condition, ConditionType, find
from loadline_api.inference_services import InferenceService
from loadline_api.kv_retention import RetentionMode
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Kind, Manifest
from loadline_operator.services.facts import claimed_workloads
from loadline_operator.services.facts.claimed_workloads import WorkloadClaim
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFact:
    """A service: its version and generation, what it claims of others, its loops, what its status says."""

    version: str
    generation: int = 0
    claim: WorkloadClaim | None = None
    foreign: Kind | None = None
    loops: frozenset[Loop] = frozenset()
    conditions: tuple[tuple[str, str], ...] = ()
    guard_breached: bool = False
    unbounded: bool = False


def service_fact(raw: Manifest) -> ServiceFact:
    """The fact of an InferenceService; one that can't be read claims nothing."""
    metadata = raw["metadata"]
    version, generation = metadata["resourceVersion"], metadata.get("generation", 0)
    try:
        service = InferenceService.parse(raw)
    except InvalidInput:
        return ServiceFact(version=version, generation=generation)
    return ServiceFact(
        version=version,
        generation=generation,
        claim=claimed_workloads.claim(service),
        foreign=claimed_workloads.kind_of(service),
        loops=frozenset(service.spec.loops),
        conditions=tuple(_told(one) for one in service.status.conditions),
        guard_breached=_guard_breached(service),
        unbounded=_unbounded(service),
    )


def _guard_breached(service: InferenceService) -> bool:
    """Whether a guard has ended the capacity of the service's experts, as the status says."""
    bounded = find(service.status.conditions, ConditionType.EXPERTS_BOUNDED)
    return bounded is not None and bounded.reason == Reason.GUARD_BREACHED


def _unbounded(service: InferenceService) -> bool:
    """Whether the status says that requests aren't bounded though the spec enforces it."""
    active = find(service.status.conditions, ConditionType.RETENTION_ACTIVE)
    asked = service.spec.retention.mode is RetentionMode.ENFORCE
    return asked and active is not None and active.status == "False"


def _told(condition: Condition) -> tuple[str, str]:
    return condition.type, condition.status
