"""
What to write for one InferenceService: its Deployment, its Service, its status.

Pure: the service and what was found of it come in, the differences go out, and planning
the result again gives nothing. Objects of the same name that somebody else owns are
never taken over; the condition says so instead.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from loadline_api.conditions import Condition, ConditionType, Reason, condition, merge
from loadline_api.inference_services import InferenceService, InferenceServiceStatus
from loadline_operator.apply import holds
from loadline_operator.kinds import INFERENCE_SERVICES, Key, Manifest
from loadline_operator.services import workloads

Signature = tuple[str, str]
"""A manifest's hash, and the state of the object that the API server made of it."""

OWN_CONDITIONS = frozenset({ConditionType.READY, ConditionType.WORKLOADS_READY})
"""Conditions that the operator writes; power's and the objectives' come from elsewhere."""

NOT_ACTED_ON = {
    "scaling": "scaling",
    "slo": "slo",
    "power": "power",
    "experts": "experts",
    "kvCache": "kv_cache",
}
"""Parts of a spec that are checked and kept, but that no loop reads yet, by their names in the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What there is of a service; `settled` names manifests the API server has in its own words.

    `refusal` is its sentence about the last apply, if it refused that.
    """

    deployment: Manifest | None = None
    front: Manifest | None = None
    settled: frozenset[Signature] = frozenset()
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to apply; empty when everything is as the spec says."""

    deployment: Manifest | None = None
    front: Manifest | None = None
    status: Manifest | None = None

    def __bool__(self) -> bool:
        return any((self.deployment, self.front, self.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Health:
    so: bool | None
    reason: Reason
    text: str


def plan(service: InferenceService, observed: Observed, *, now: datetime) -> Changes:
    """What to write so that the cluster is as the spec says; nothing, when it already is."""
    wanted = status(service, observed, now=now)
    changed = wanted != _own(service.status)
    return Changes(
        deployment=_needed(service, workloads.deployment, observed.deployment, observed),
        front=_needed(service, workloads.front, observed.front, observed),
        status=_status_manifest(service, wanted) if changed else None,
    )


def status(service: InferenceService, observed: Observed, *, now: datetime) -> InferenceServiceStatus:
    """The operator's part of the status."""
    health = _with_ignored(_health(service, observed), service)
    generation = service.metadata.generation
    wanted: list[Condition] = [
        condition(type, health.so, health.reason, health.text, generation=generation)
        for type in OWN_CONDITIONS
    ]
    counts = _counts(service, observed)
    return InferenceServiceStatus(
        observed_generation=generation,
        replicas=counts.get("replicas", 0),
        ready_replicas=counts.get("readyReplicas", 0),
        selector=workloads.selector_of(service) if service.spec.model is not None else None,
        conditions=merge(service.status.conditions, wanted, now=now),
    )


def signature(wanted: Manifest, there: Manifest) -> Signature:
    """Which wish is fulfilled by an object in which state, however the API server words it.

    The state is the generation, or for kinds that count none the resourceVersion.
    """
    metadata = there["metadata"]
    state = metadata.get("generation") or metadata.get("resourceVersion")
    return wanted["metadata"]["annotations"][workloads.APPLIED], str(state)


def _needed(
    service: InferenceService,
    make: Callable[[InferenceService], Manifest],
    there: Manifest | None,
    observed: Observed,
) -> Manifest | None:
    if service.spec.model is None:
        return None
    wanted = make(service)
    if there is None:
        return wanted
    same = holds(wanted, there) or signature(wanted, there) in observed.settled
    return None if same or not workloads.is_ours(there, service) else wanted


def _with_ignored(health: _Health, service: InferenceService) -> _Health:
    """The same health, saying which parts of the spec nothing acts on: silence would be a promise."""
    ignored = [
        f"spec.{name}" for name, part in NOT_ACTED_ON.items() if getattr(service.spec, part) is not None
    ]
    if not ignored:
        return health
    return replace(health, text=f"{health.text}; this version doesn't act on {', '.join(ignored)}")


def _health(service: InferenceService, observed: Observed) -> _Health:
    if service.spec.model is None:
        text = "workloadRef names a workload of somebody else, whose health isn't read by this version"
        return _Health(so=None, reason=Reason.NOT_TOLD, text=text)
    foreign = [there for there in (observed.deployment, observed.front) if there is not None]
    foreign = [there for there in foreign if not workloads.is_ours(there, service)]
    if foreign:
        text = f"{foreign[0]['kind']} {service.metadata.name} belongs to somebody else: rename one of the two"
        return _Health(so=False, reason=Reason.NO_WORKLOAD, text=text)
    if observed.refusal is not None:
        return _Health(so=False, reason=Reason.TEMPLATE_REFUSED, text=observed.refusal)
    if service.spec.prefill is not None or service.spec.router is not None:
        text = "prefill and router are not made into pools by this version; the main pool runs alone"
        return _Health(so=False, reason=Reason.NO_WORKLOAD, text=text)
    return _pods(service, observed.deployment)


def _pods(service: InferenceService, deployment: Manifest | None) -> _Health:
    if deployment is None:
        return _Health(so=False, reason=Reason.PROGRESSING, text="the Deployment is being made")
    there = deployment.get("status") or {}
    wanted, ready = service.spec.replicas, there.get("readyReplicas", 0)
    text = f"{ready} of {wanted} replicas are ready"
    current = there.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    asked = (deployment.get("spec") or {}).get("replicas")
    if not current or asked != wanted:
        return _Health(so=False, reason=Reason.PROGRESSING, text=text)
    failure = _failure(there)
    if failure is not None and ready < wanted:
        return _Health(so=False, reason=Reason.UNAVAILABLE, text=f"{text}: {failure}")
    if ready == wanted == there.get("replicas", 0) == there.get("updatedReplicas", 0):
        return _Health(so=True, reason=Reason.AS_DECLARED, text=text)
    return _Health(so=False, reason=Reason.PROGRESSING, text=text)


def _failure(status: Manifest) -> str | None:
    """What the Deployment's own conditions complain about."""
    bad = {"ReplicaFailure": "True", "Progressing": "False"}
    found = [c for c in status.get("conditions") or () if bad.get(c["type"]) == c["status"]]
    return str(found[0].get("message") or found[0].get("reason")) if found else None


def _counts(service: InferenceService, observed: Observed) -> Manifest:
    there = observed.deployment
    if there is None or not workloads.is_ours(there, service):
        return {}
    return dict(there.get("status") or {})


def _own(there: InferenceServiceStatus) -> InferenceServiceStatus:
    """The operator's part of a status that others write to as well."""
    conditions = tuple(
        sorted((c for c in there.conditions if c.type in OWN_CONDITIONS), key=lambda c: c.type)
    )
    return there.model_copy(update={"conditions": conditions, "policies": ()})


def _status_manifest(service: InferenceService, wanted: InferenceServiceStatus) -> Manifest:
    key = Key(service.metadata.namespace, service.metadata.name)
    head = INFERENCE_SERVICES.manifest(key, uid=service.metadata.uid)
    return {**head, "status": wanted.to_api()}
