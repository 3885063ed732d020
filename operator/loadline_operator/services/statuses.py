"""
The status of a service: the operator's conditions and counts, and what turns are worth an Event.

One writer for all of it. Conditions that others might add stay theirs, and a time moves
only when a condition turns. Where nothing acts on a part of the spec, the status says
so: silence would be a promise. In which order they lie is in `condition_lists`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from loadline_api import visible_texts
from loadline_api.conditions import Condition, ConditionType, find, merge
from loadline_api.inference_services import (
    MOST_SHOWN,
    MOST_TEXT,
    InferenceService,
    InferenceServiceSpec,
    InferenceServiceStatus,
    PoolStatus,
    Shown,
)
from loadline_api.kv_cache import KvCacheStatus
from loadline_api.names import MAIN_POOL
from loadline_api.reasons import Reason
from loadline_operator import events
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import INFERENCE_SERVICES, Key, Manifest
from loadline_operator.services import (
    admission_conditions,
    condition_lists,
    expert_conditions,
    retention_conditions,
)
from loadline_operator.services.attachments import Attachment
from loadline_operator.services.facts import expert_loads, kv_memories, node_reports
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_operator.services.health import Findings, PoolView
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.plugin_presence import plugin_missing
from loadline_operator.services.policy_choices import Policies

PASSING = frozenset(
    {
        Reason.PROGRESSING,
        Reason.SCALED_TO_ZERO,
        Reason.NOT_TOLD,
        Reason.AS_DECLARED,
        Reason.SCHEDULING_GATED,
        Reason.PAUSED,
    }
)
"""Reasons of Ready that are worth no warning: they pass by themselves, or somebody wants it so."""

WARNED = (
    ConditionType.READY,
    ConditionType.POLICY_VALID,
    ConditionType.EXPERTS_BOUNDED,
    ConditionType.ADMISSION_PREDICTED,
    ConditionType.RETENTION_ACTIVE,
)
"""Conditions whose failures are Events."""

ONLY_FAILURES: Mapping[str, frozenset[Reason]] = {
    ConditionType.EXPERTS_BOUNDED: frozenset({Reason.GUARD_BREACHED}),
    ConditionType.ADMISSION_PREDICTED: frozenset({Reason.PLUGIN_FAILED}),
    ConditionType.RETENTION_ACTIVE: frozenset(
        {Reason.PLUGIN_FAILED, Reason.ENGINE_UNABLE, Reason.RECALL_LOST, Reason.DRIFTED}
    ),
}
"""The reasons of a condition that are failures; all others say that nothing is to be done now."""


def own(
    description: Description,
    found: Findings,
    pools: tuple[PoolView, ...],
    *,
    seen: tuple[NodeReport, ...],
    policies: Policies,
) -> InferenceServiceStatus:
    """The status of a service whose pods are ours; conditions have no times yet."""
    service = description.service
    kv_cache = kv_memories.put_together(seen, service.status.kv_cache)
    told = {**found, **on_nodes(service, seen, kv_cache), **of_policies(policies)}
    told[ConditionType.READY] = with_ignored(service, found[ConditionType.READY])
    generation = service.metadata.generation
    main = next((one.rollout for one in pools if one.name == MAIN_POOL), None)
    return InferenceServiceStatus(
        observed_generation=generation,
        desired_replicas=next((one.asked for one in pools if one.name == MAIN_POOL), None),
        replicas=main.there if main is not None else 0,
        ready_replicas=main.ready if main is not None else 0,
        selector=description.scale_selector,
        shown=_shown(service, service.spec.model.uri if service.spec.model is not None else ""),
        url=description.url,
        pools=tuple(_pool(one) for one in pools),
        policies=policies.in_force,
        experts=expert_loads.put_together(seen),
        kv_cache=kv_cache,
        conditions=condition_lists.conditions(
            told, plugin_missing(service, told=node_reports.has_plugin(seen)), generation
        ),
    )


def attached(
    service: InferenceService,
    attachment: Attachment,
    limited: Finding,
    *,
    seen: tuple[NodeReport, ...],
    policies: Policies,
) -> InferenceServiceStatus:
    """The status of a service whose pods are somebody else's; conditions have no times yet.

    What others have made longer than its field is left out: cut it would be another selector or URL.
    """
    generation = service.metadata.generation
    selectors = attachment.selector, attachment.pod_selector
    selector, pod_selector = selectors if all(map(_fits, selectors)) else (None, None)
    kv_cache = kv_memories.put_together(seen, service.status.kv_cache)
    told = {
        **attachment.findings,
        ConditionType.CAPACITY_LIMITED: limited,
        **on_nodes(service, seen, kv_cache),
        **of_policies(policies),
    }
    told[ConditionType.READY] = with_ignored(service, told[ConditionType.READY])
    plugin = plugin_missing(service, told=node_reports.has_plugin(seen), configured=attachment.configured)
    return InferenceServiceStatus(
        observed_generation=generation,
        desired_replicas=attachment.desired_replicas,
        replicas=attachment.replicas,
        ready_replicas=attachment.ready_replicas,
        selector=selector,
        pod_selector=pod_selector,
        shown=_shown(service, attachment.model),
        workload=attachment.noted,
        url=attachment.url if _fits(attachment.url) else None,
        policies=policies.in_force,
        experts=expert_loads.put_together(seen),
        kv_cache=kv_cache,
        conditions=condition_lists.conditions(told, plugin, generation),
    )


def on_nodes(
    service: InferenceService, seen: tuple[NodeReport, ...], kv_cache: KvCacheStatus | None = None
) -> Findings:
    """What the nodes report; objectives, experts, admission and retention only where the spec has them."""
    told = {ConditionType.POWER_CAPPED: node_reports.capped(seen)}
    if service.spec.slo is not None:
        told[ConditionType.SLO_MET] = node_reports.slo_met(seen)
    if service.spec.experts is not None:
        told |= expert_conditions.findings(service.spec, seen)
    return told | _of_kv_cache(service.spec, seen, kv_cache or KvCacheStatus())


def _of_kv_cache(
    spec: InferenceServiceSpec, seen: tuple[NodeReport, ...], shown: KvCacheStatus
) -> dict[ConditionType, Finding]:
    told: dict[ConditionType, Finding] = {}
    if spec.kv_cache is not None and spec.kv_cache.admission is not None:
        found = admission_conditions.finding(spec, shown.admission, seen)
        told[ConditionType.ADMISSION_PREDICTED] = found
    if spec.kv_cache is not None and spec.kv_cache.retention is not None:
        found = retention_conditions.finding(spec, shown.retention, seen)
        told[ConditionType.RETENTION_ACTIVE] = found
    return told


def of_policies(policies: Policies) -> Findings:
    """Whether the policies that the service names are good; without loops there is none to be good."""
    return {ConditionType.POLICY_VALID: policies.valid} if policies.valid is not None else {}


def with_ignored(service: InferenceService, finding: Finding) -> Finding:
    """The same finding, naming the parts of the spec that no loop reads yet."""
    spec = service.spec
    if spec.scaling is None or spec.workload_ref is not None:
        return finding
    text = finding.text or finding.reason.sentence
    return replace(finding, text=f"{text}; this version of Loadline does not act on spec.scaling")


def written(
    service: InferenceService, wanted: InferenceServiceStatus, *, now: datetime
) -> InferenceServiceStatus | None:
    """The status to write, with its times; None where it is so already."""
    merged = merge(service.status.conditions, wanted.conditions, now=now)
    timed = wanted.model_copy(update={"conditions": condition_lists.in_order(merged)})
    return None if timed == _ours(service.status) else timed


def manifest(service: InferenceService, status: InferenceServiceStatus) -> Manifest:
    """A status to apply, to this very object."""
    key = Key(service.metadata.namespace, service.metadata.name)
    head = INFERENCE_SERVICES.manifest(key, uid=service.metadata.uid)
    return {**head, "status": status.to_api()}


def warnings(
    service: InferenceService, wanted: Iterable[Condition], *, now: datetime
) -> tuple[Manifest, ...]:
    """An Event for each of `WARNED` that has just turned to a failure; none while it lasts."""
    key, told = Key(service.metadata.namespace, service.metadata.name), tuple(wanted)
    return tuple(
        events.service_failing(
            key,
            uid=service.metadata.uid,
            version=f"{service.metadata.generation}/{turned.last_transition_time}",
            reason=turned.reason,
            text=turned.message,
            now=now,
        )
        for type in WARNED
        if (turned := _failing(service, find(told, type))) is not None
    )


def _failing(service: InferenceService, now_so: Condition | None) -> Condition | None:
    """The condition, if it says a failure that the status didn't say before."""
    if now_so is None or now_so.status != "False" or now_so.reason in PASSING:
        return None
    if now_so.reason not in ONLY_FAILURES.get(now_so.type, (now_so.reason,)):
        return None
    before = {one.type: (one.status, one.reason) for one in service.status.conditions}
    return None if before.get(now_so.type) == (now_so.status, now_so.reason) else now_so


def _fits(text: str | None) -> bool:
    return text is None or len(text) <= MOST_TEXT


def _pool(one: PoolView) -> PoolStatus:
    there = one.rollout
    if there is None:
        return PoolStatus(name=one.name, replicas=one.asked)
    return PoolStatus(
        name=one.name, replicas=one.asked, ready_replicas=there.ready, updated_replicas=there.updated
    )


def _ours(there: InferenceServiceStatus) -> InferenceServiceStatus:
    """The operator's part of a status that others write to as well."""
    return there.model_copy(update={"conditions": condition_lists.in_order(there.conditions)})


def _shown(service: InferenceService, model: str) -> Shown:
    ref = service.spec.workload_ref
    workload = f"{ref.kind}/{ref.name}" if ref is not None else ""
    return Shown(workload=_cut(workload), model=_cut(model))


def _cut(text: str) -> str | None:
    return visible_texts.told(text, most_bytes=MOST_SHOWN) if text else None
