"""
What `workloadRef` comes to: whether the workload can be attached to, and how it stands.

An attached workload stays its owner's. Loadline reads it, publishes by which labels its
pods are found, and at most moves its replicas, by `/scale` alone and only when `scaling`
is given and somebody really set `spec.replicas` of the service. Where two services name
one workload, or somebody else already scales it, nothing is touched and the conditions
name the other.

Pure: facts come in (`foreign_workloads`), conditions and counts go out. Neither a missing API
nor a missing object is an error; both may come later.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadline_api.conditions import ConditionType, Reason, find
from loadline_api.inference_services import InferenceService, InferenceServiceSpec
from loadline_api.names import INFERENCE_SERVICES
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts import foreign_workloads
from loadline_operator.services.facts.claimed_workloads import kind_of
from loadline_operator.services.facts.foreign_workloads import ForeignWorkload
from loadline_operator.services.facts.pod_faults import PodFault
from loadline_operator.services.findings import Finding

DEFAULT_REPLICAS = InferenceServiceSpec.model_fields["replicas"].default
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

TOLD = (
    ConditionType.ATTACHED,
    ConditionType.WORKLOADS_READY,
    ConditionType.SCALING_READY,
    ConditionType.READY,
)
"""What is found of every attached service, in the order of finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What to say of an attached service, and what to do: `scale_to` is None for nothing.

    Counts are None where the workload doesn't tell them. `selector` finds one pod for each
    replica and is None while no agent may act on the pods; `pod_selector` finds all of them,
    where that is another one. `configured` is what the workload tells of Loadline's plugin.
    """

    findings: dict[ConditionType, Finding]
    replicas: int | None = None
    ready_replicas: int | None = None
    updated_replicas: int | None = None
    selector: str | None = None
    pod_selector: str | None = None
    url: str | None = None
    scale_to: int | None = None
    configured: bool | None = None


def replicas_are_set(raw: Manifest) -> bool:
    """Whether somebody set `spec.replicas`, or it may be the schema's default.

    Any other value than the default was set. The default itself counts when a server-side
    apply or a `/scale` owns it, or kubectl's last apply has it. Elsewhere it can't be told:
    whoever posts an object owns its defaults too, and a `/scale` of what nobody owned leaves
    no trace.
    """
    if raw["spec"].get("replicas", DEFAULT_REPLICAS) != DEFAULT_REPLICAS:
        return True
    metadata = raw["metadata"]
    if any(_says_replicas(entry) for entry in metadata.get("managedFields") or ()):
        return True
    last = (metadata.get("annotations") or {}).get(LAST_APPLIED)
    return last is not None and "replicas" in _spec_of(last)


def attachment(
    service: InferenceService,
    there: ForeignWorkload | None,
    *,
    api_served: bool,
    rivals: Sequence[str] = (),
    scaler: str = "",
    replicas_set: bool = False,
    fault: PodFault | None = None,
) -> Attachment:
    """How a service with `workloadRef` stands, and what to make of its workload's replicas.

    `there` is None when the object isn't. `rivals` are the names of other services with the
    same claim, `scaler` is who scales the workload itself (`autoscalers.rival`), `replicas_set`
    what `replicas_are_set` says, `fault` the worst one of its pods.
    """
    attached = _attached(service, there, rivals, api_served=api_served)
    if not attached.so or there is None:
        return Attachment(findings=dict.fromkeys(TOLD, attached))
    works = _works(there, fault)
    scaling, scale_to = _scaling(service, there, scaler, replicas_set=replicas_set)
    ready = replace(works, so=False, reason=Reason.SCALED_TO_ZERO) if works.so and there.asked == 0 else works
    return Attachment(
        findings=dict(zip(TOLD, (attached, works, scaling, ready), strict=True)),
        replicas=there.there,
        ready_replicas=there.ready,
        updated_replicas=there.updated,
        selector=there.counted or there.selector,
        pod_selector=there.selector if there.counted else None,
        url=there.url or None,
        scale_to=scale_to,
        configured=there.plugin,
    )


def _attached(
    service: InferenceService, there: ForeignWorkload | None, rivals: Sequence[str], *, api_served: bool
) -> Finding:
    ref = service.spec.workload_ref
    assert ref is not None, "only a service with workloadRef is attached"
    named = f"{ref.kind} {service.metadata.namespace}/{ref.name}"
    if rivals:
        text = (
            f"{named} is named by {_listed(rivals)} too: remove workloadRef from all but one; none acts on it"
        )
        return Finding(so=False, reason=Reason.CLAIMED_TWICE, text=text)
    if not api_served or kind_of(service) is None:
        text = f"the cluster serves no {ref.kind} of {ref.api_version}: install it, or name another workload"
        return Finding(so=False, reason=Reason.API_MISSING, text=text)
    if there is None or there.deleting:
        gone = "is being deleted" if there is not None else "is not there"
        text = f"{named} {gone}: create it, or correct workloadRef.name"
        return Finding(so=False, reason=Reason.NO_WORKLOAD, text=text)
    if there.made_by:
        text = (
            f"{named} was made by Loadline for {INFERENCE_SERVICES.full_name}/{there.made_by}:"
            " set its loops on that service, or name another workload"
        )
        return Finding(so=False, reason=Reason.OWN_WORKLOAD, text=text)
    return Finding(so=True, reason=Reason.AS_DECLARED, text=_how(there))


def _how(there: ForeignWorkload) -> str:
    if there.unmatched:
        return (
            f"{there} is attached, but no agent acts on its pods, since agents match equal labels only"
            f" and its selector has `{there.unmatched[0]}`: say it in selector.matchLabels"
        )
    return f"{there} is attached; its pods are those with {there.selector}"


def _works(there: ForeignWorkload, fault: PodFault | None) -> Finding:
    """Whether the workload serves, in its own controller's view."""
    if there.ready is None or there.asked is None:
        return _as_said(there, fault)
    text = f"{there.ready} of {there.asked} replicas of {there} are ready"
    if not there.current:
        return Finding(
            so=False, reason=Reason.PROGRESSING, text=f"{text}; its last change isn't acted on yet"
        )
    if there.ready >= there.asked:
        return Finding(so=True, reason=Reason.AS_DECLARED, text=text)
    why = fault or there.complaint
    if why is not None:
        return Finding(so=False, reason=why.reason, text=f"{text}: {why.text}")
    return Finding(so=False, reason=Reason.PROGRESSING, text=text)


def _as_said(there: ForeignWorkload, fault: PodFault | None) -> Finding:
    said = there.said
    if said is None or said.ready is None:
        words = said.text if said is not None else "its controller tells no health"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=f"{there}: {words}")
    if said.ready:
        return Finding(so=True, reason=Reason.OBSERVED, text=f"{there} says that it is ready")
    words = "; ".join(filter(None, (said.text, fault.text if fault is not None else "")))
    reason = fault.reason if fault is not None else Reason.UNAVAILABLE
    return Finding(so=False, reason=reason, text=f"{there} says that it isn't ready: {words}")


def _scaling(
    service: InferenceService, there: ForeignWorkload, scaler: str, *, replicas_set: bool
) -> tuple[Finding, int | None]:
    """Whether the workload's replicas follow the service's, and to how many they are to be moved."""
    row = foreign_workloads.find(there.kind.api_version, there.kind.kind)
    bounds = service.spec.scaling
    if row is None or not row.scalable:
        text = (
            f"{there.kind.kind} of {there.kind.group} has no scale subresource: scale {there} by its own spec"
        )
        return Finding(so=False, reason=Reason.NOT_SCALABLE, text=text), None
    if bounds is None:
        text = f"the replicas of {there} are its owner's: give scaling to have them follow this service"
        return Finding(so=False, reason=Reason.READ_ONLY, text=text), None
    if scaler:
        text = (
            f"{scaler} scales {there} itself: point its scaleTargetRef at"
            f" {INFERENCE_SERVICES.full_name}/{service.metadata.name}, or remove scaling"
        )
        return Finding(so=False, reason=Reason.OTHER_SCALER, text=text), None
    if not replicas_set and not _followed_before(service):
        text = f"{there} keeps its {there.asked} replicas until somebody sets replicas of this service"
        return Finding(so=True, reason=Reason.NOT_ASKED, text=text), None
    wanted = min(max(service.spec.replicas, bounds.min_replicas), bounds.max_replicas)
    text = f"the replicas of {there} follow this service: {wanted}"
    if wanted != service.spec.replicas:
        text += f", since scaling allows {bounds.min_replicas} to {bounds.max_replicas}"
    finding = Finding(so=True, reason=Reason.AS_DECLARED, text=text)
    return finding, wanted if wanted != there.asked else None


def _followed_before(service: InferenceService) -> bool:
    """An autoscaler may come back to the default; then only the last status tells that it was set."""
    last = find(service.status.conditions, ConditionType.SCALING_READY)
    return last is not None and last.is_true and last.reason == Reason.AS_DECLARED


def _says_replicas(entry: Mapping[str, Any]) -> bool:
    means_it = entry.get("operation") == "Apply" or entry.get("subresource") == "scale"
    return means_it and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def _listed(words: Sequence[str]) -> str:
    return ", ".join(sorted(words))


def _spec_of(last_applied: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads(last_applied).get("spec") or {})
    except (ValueError, AttributeError, TypeError):
        return {}
