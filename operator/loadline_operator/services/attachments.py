"""
What `workloadRef` comes to: whether the workload can be attached to, and how it stands.

An attached workload stays its owner's. Loadline reads it, publishes by which labels its
pods are found, and at most moves its replicas, by `/scale` alone and only when `scaling`
is given and somebody really set `spec.replicas` of the service. Until then these tell the
workload's own count (`takeovers`). Where two services name one workload, or somebody else
already scales it, or a controller owns it, it isn't touched and the conditions name the other.

Pure: facts come in (`foreign_workloads`), conditions and counts go out. Neither a missing API
nor a missing object is an error; both may come later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from loadline_api.conditions import ConditionType
from loadline_api.inference_services import AttachedWorkload, InferenceService
from loadline_api.names import INFERENCE_SERVICES
from loadline_api.reasons import Reason
from loadline_api.sentences import counted
from loadline_operator.findings import Finding
from loadline_operator.services import takeovers
from loadline_operator.services.facts import foreign_workloads
from loadline_operator.services.facts.claimed_workloads import kind_of
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.foreign_workloads import ForeignWorkload
from loadline_operator.services.facts.workload_roles import DECODE
from loadline_operator.services.takeovers import Word

TOLD = (
    ConditionType.ATTACHED,
    ConditionType.WORKLOADS_READY,
    ConditionType.SCALING_READY,
    ConditionType.READY,
)
"""What is found of every attached service, in the order of finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What to say of an attached service, and what to do: `scale_to` and `take_over` are None for nothing.

    `scale_to` is for the workload, `take_over` for the service's own replicas, `noted` what
    its status is to say of whose count they are.

    Counts are None where the workload doesn't tell them. `selector` finds one pod for each
    replica and is None while no agent may act on the pods; `pod_selector` finds all of them,
    where that is another one. `configured` is what the workload tells of Loadline's plugin, `model` what it
    serves, as far as its manifest tells.
    """

    findings: dict[ConditionType, Finding]
    desired_replicas: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    updated_replicas: int | None = None
    selector: str | None = None
    pod_selector: str | None = None
    url: str | None = None
    scale_to: int | None = None
    take_over: int | None = None
    noted: AttachedWorkload | None = None
    configured: bool | None = None
    model: str = ""


def attachment(
    service: InferenceService,
    there: ForeignWorkload | None,
    *,
    api_served: bool,
    rivals: Sequence[str] = (),
    others: Iterable[ForeignWorkload] = (),
    scaler: str = "",
    handed_over: bool = False,
    said: Word = Word.UNOWNED,
    fault: PodFault | None = None,
) -> Attachment:
    """How a service with `workloadRef` stands, and what to make of its workload's replicas.

    `there` is None when the object isn't. `rivals` are the names of other services with the
    same claim, `others` workloads of the same kind and namespace, `scaler` is who scales the
    workload itself (`autoscalers.rival`), `handed_over` says that an autoscaler aims at the
    service, `said` whose word its replicas are, `fault` is the worst one of its pods.
    """
    attached = _attached(service, there, rivals, api_served=api_served)
    if attached.so and there is not None:
        attached = _told_apart(there, others) or attached
    if not attached.so or there is None:
        return Attachment(findings=dict.fromkeys(TOLD, attached), noted=service.status.workload)
    works = _works(there, fault)
    wish = takeovers.is_wish(
        service, there, said, scaled_elsewhere=bool(scaler or there.owner), handed_over=handed_over
    )
    scaling, scale_to = _scaling(service, there, scaler, wish=wish)
    scalable = _scalable(there)
    count = takeovers.counted(there) if scalable and not wish else None
    ready = replace(works, so=False, reason=Reason.SCALED_TO_ZERO) if works.so and there.asked == 0 else works
    return Attachment(
        findings=dict(zip(TOLD, (attached, works, scaling, ready), strict=True)),
        desired_replicas=there.asked if scale_to is None else scale_to,
        replicas=there.there,
        ready_replicas=there.ready,
        updated_replicas=there.updated,
        selector=there.counted or there.selector,
        pod_selector=there.selector if there.counted else None,
        url=there.url or None,
        scale_to=scale_to,
        take_over=count if count != service.spec.replicas else None,
        noted=takeovers.note(service, there, said, wish=wish) if scalable else service.status.workload,
        configured=there.plugin,
        model=there.model,
    )


def unmoved(found: Attachment, service: InferenceService, refusal: str) -> Attachment:
    """The same where the API server refused to move replicas: nothing follows, and nothing is noted."""
    whose, count = "the workload", found.scale_to
    if found.take_over is not None:
        whose, count = "this service", found.take_over
    text = f"the replicas of {whose} cannot be set to {count}: {refusal}"
    scaling = Finding(so=False, reason=Reason.SCALE_REFUSED, text=text)
    return replace(
        found,
        findings=found.findings | {ConditionType.SCALING_READY: scaling},
        noted=service.status.workload,
    )


def _attached(
    service: InferenceService, there: ForeignWorkload | None, rivals: Sequence[str], *, api_served: bool
) -> Finding:
    ref = service.spec.workload_ref
    assert ref is not None, "only a service with workloadRef is attached"
    named = f"{ref.kind} {service.metadata.namespace}/{ref.name}"
    if rivals:
        text = (
            f"{named} is also named by {_listed(rivals)}: remove workloadRef from all but one; until then"
            " none of them acts on it"
        )
        return Finding(so=False, reason=Reason.CLAIMED_TWICE, text=text)
    if not api_served or kind_of(service) is None:
        text = f"the cluster serves no {ref.kind} of {ref.api_version}: install it, or name another workload"
        return Finding(so=False, reason=Reason.API_MISSING, text=text)
    if there is None or there.deleting:
        gone = (
            "does not exist: create it"
            if there is None
            else "is being deleted: create it again once it is gone"
        )
        return Finding(
            so=False, reason=Reason.NO_WORKLOAD, text=f"{named} {gone}, or correct workloadRef.name"
        )
    if there.made_by:
        text = (
            f"{named} was created by Loadline for {INFERENCE_SERVICES.full_name}/{there.made_by}:"
            " configure that InferenceService instead, or name another workload"
        )
        return Finding(so=False, reason=Reason.OWN_WORKLOAD, text=text)
    if there.roles and not there.role:
        wanted = ref.role if ref.role is not None else DECODE
        text = f"{named} has no role {wanted}: name one of {_listed([one.name for one in there.roles])}"
        return Finding(so=False, reason=Reason.NO_ROLE, text=f"{text} in workloadRef.role")
    return Finding(so=True, reason=Reason.AS_DECLARED, text=_how(there))


def _told_apart(there: ForeignWorkload, others: Iterable[ForeignWorkload]) -> Finding | None:
    """What is in the way if pods of another workload can't be told from those of this one."""
    if there.pods and not there.selector:
        text = (
            f"the pods of {there} have no label in common by which to select them: set the same label in its"
            " spec.labels and spec.prefill.labels"
        )
        return Finding(so=False, reason=Reason.PODS_SHARED, text=text)
    sharing = sorted(str(one) for one in others if foreign_workloads.shares_pods(there, one))
    if not sharing:
        return None
    text = (
        f"the labels that select the pods of {there} ({there.selector}) also select pods of {sharing[0]}:"
        " give the pods of one of the two a label that the other's don't have"
    )
    return Finding(so=False, reason=Reason.PODS_SHARED, text=text)


def _how(there: ForeignWorkload) -> str:
    if there.unmatched:
        return (
            f"{there} is attached, but no agent acts on its pods, because its selector has"
            f" `{there.unmatched[0]}` and agents support only matchLabels: use selector.matchLabels"
        )
    whose = f", its replicas those of role {there.role}" if there.role else ""
    return f"{there} is attached; its pods are those with {there.selector}{whose}"


def _works(there: ForeignWorkload, fault: PodFault | None) -> Finding:
    """Whether the workload serves, in its own controller's view."""
    if there.said is not None or there.ready is None or there.asked is None:
        return _as_said(there, fault)
    text = f"{there.ready} of {there.asked} replicas of {there} are ready"
    if not there.current:
        return Finding(
            so=False,
            reason=Reason.PROGRESSING,
            text=f"{text}; its controller has not acted on the last change yet",
        )
    if there.ready >= there.asked:
        return Finding(so=True, reason=Reason.AS_DECLARED, text=text)
    why = _why(there, fault)
    if why is not None:
        return Finding(so=False, reason=why.reason, text=f"{text}: {why.text}")
    return Finding(so=False, reason=Reason.PROGRESSING, text=text)


def _why(there: ForeignWorkload, fault: PodFault | None) -> PodFault | None:
    """What keeps a pod from running, or from being created: rather what doesn't pass by itself."""
    told = [one for one in (fault, there.complaint) if one is not None]
    return next((one for one in told if one.lasting), told[0] if told else None)


def _as_said(there: ForeignWorkload, fault: PodFault | None) -> Finding:
    said, why = there.said, _why(there, fault)
    if said is None or said.ready is None:
        words = said.text if said is not None else "its controller reports no health"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=f"{there}: {words}")
    if said.ready:
        return Finding(so=True, reason=Reason.OBSERVED, text=f"{there} reports that it is ready")
    words = "; ".join(filter(None, (said.text, why.text if why is not None else "")))
    reason = why.reason if why is not None else Reason.UNAVAILABLE
    return Finding(so=False, reason=reason, text=f"{there} reports that it isn't ready: {words}")


def _scalable(there: ForeignWorkload) -> bool:
    row = foreign_workloads.find(there.kind.api_version, there.kind.kind)
    return there.scaler is not None or (row is not None and row.scalable)


def _scaling(
    service: InferenceService, there: ForeignWorkload, scaler: str, *, wish: bool
) -> tuple[Finding, int | None]:
    """Whether the workload's replicas follow the service's, and to how many they are to be moved."""
    bounds = service.spec.scaling
    if there.fixed:
        return Finding(so=False, reason=Reason.NOT_SCALABLE, text=there.fixed), None
    if not _scalable(there):
        text = (
            f"{there.kind.kind} of {there.kind.group} has no scale subresource: scale {there} by its own spec"
        )
        return Finding(so=False, reason=Reason.NOT_SCALABLE, text=text), None
    if there.owner is not None:
        text = (
            f"{there.owner} owns {there} and would undo a change of its replicas:"
            f" scale {there.owner.kind} {there.owner.name} instead"
        )
        return Finding(so=False, reason=Reason.OWNED_BY_CONTROLLER, text=text), None
    if bounds is None:
        text = f"the replicas of {there} are set by its owner: add spec.scaling to have Loadline set them"
        return Finding(so=False, reason=Reason.READ_ONLY, text=text), None
    if scaler:
        text = (
            f"{scaler} scales {there} directly: set its scaleTargetRef to"
            f" {INFERENCE_SERVICES.full_name}/{service.metadata.name}, or remove scaling"
        )
        return Finding(so=False, reason=Reason.OTHER_SCALER, text=text), None
    if not wish:
        count = counted(there.asked, "replica") if there.asked is not None else "replicas"
        text = f"{there} keeps its {count} until spec.replicas of this service is set"
        return Finding(so=True, reason=Reason.NOT_ASKED, text=text), None
    wanted = min(max(service.spec.replicas, bounds.min_replicas), bounds.max_replicas)
    text = f"the replicas of {there} follow this service: {wanted}"
    if wanted != service.spec.replicas:
        text += f", because spec.scaling allows {bounds.min_replicas} to {bounds.max_replicas}"
    finding = Finding(so=True, reason=Reason.AS_DECLARED, text=text)
    return finding, wanted if wanted != there.asked else None


def _listed(words: Sequence[str]) -> str:
    return ", ".join(sorted(words))
