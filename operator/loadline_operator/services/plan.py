"""
What to write for one InferenceService of ours: its objects, what is obsolete, its status.

Pure: what the service is to be and what was found of it come in, the differences go
out, and planning the result again gives nothing. Objects of the same name that somebody
else owns are never taken over, replicas that somebody else scales are left to him; the
conditions say so instead. Where the spec can't be made true (an API that isn't there, a
template that the API server refuses), what was made before goes on untouched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from loadline_api.conditions import ConditionType
from loadline_api.inference_services import InferenceService
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, Key, Manifest
from loadline_operator.services import health, statuses
from loadline_operator.services.facts import autoscalers
from loadline_operator.services.facts.autoscalers import Autoscaler, rival
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_operator.services.facts.object_states import KnownObjects, ObjectState, Ref, object_state
from loadline_operator.services.facts.owned_objects import OwnedObject, Rollout
from loadline_operator.services.facts.pods import PodFact, seconds_to_wait, waiting_long
from loadline_operator.services.facts.refused_creations import PodMaker, refused_pods
from loadline_operator.services.health import PoolView
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.manifests import OWNED_KINDS, Wanted
from loadline_operator.services.objects.pools import Group
from loadline_operator.services.policy_choices import Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a service is to be: its description and the objects that it becomes.

    `obstacle` says why it can become none, `notes` what of the spec comes to nothing.
    """

    description: Description
    wanted: tuple[Wanted, ...] = ()
    obstacle: Finding | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What there is of a service.

    `rivals` are others that scale it, by what they scale. `refusal` is what the API server
    said against an apply of just now, `refused_pods` what it said against the pods of a
    workload that can't tell it itself, `remarks` what it said against extras that nothing
    depends on.
    """

    rivals: Mapping[Ref, str] = field(default_factory=dict)
    known: KnownObjects = field(default_factory=KnownObjects)
    pods: tuple[PodFact, ...] = ()
    autoscalers: tuple[Autoscaler, ...] = ()
    seen: tuple[NodeReport, ...] = ()
    policies: Policies = field(default_factory=Policies)
    refusal: Finding | None = None
    refused_pods: Mapping[Ref, PodFault] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to write: objects in their order, then what is obsolete by uid, then the status.

    Empty when everything is as the spec says. `waits` tells that what is in the way may go
    without an event, so that it is worth looking again. `refused` is what the API server has refused
    already and the status tells: to be raised once that is written, and so tried again. `due_s` is after
    how many seconds something is to be told that no event tells.
    """

    apply: tuple[Wanted, ...] = ()
    delete: tuple[tuple[Ref, str], ...] = ()
    status: Manifest | None = None
    events: tuple[Manifest, ...] = ()
    waits: bool = False
    refused: Exception | None = None
    due_s: float | None = None

    def __bool__(self) -> bool:
        return bool(self.apply or self.delete or self.status)


def plan(desired: Desired, observed: Observed, *, now: datetime) -> Changes:
    """What to write so that the cluster is as the spec says; nothing, when it already is."""
    description = desired.description
    service, uid = description.service, description.uid
    states = {Ref.of(one): object_state(uid, one, known=observed.known) for one in desired.wanted}
    obstacle = _obstacle(desired, observed, states)
    observed = replace(observed, pods=waiting_long(observed.pods, now=now))
    pools = views(description, observed)
    found = health.findings(pools, obstacle)
    found[ConditionType.SCALING_READY] = autoscalers.scaling(
        description.key, {str(ref): who for ref, who in observed.rivals.items()}, observed.autoscalers
    )
    found[ConditionType.READY] = _remarked(found[ConditionType.READY], (*desired.notes, *observed.remarks))
    status = statuses.own(description, found, pools, seen=observed.seen, policies=observed.policies)
    wanted = statuses.written(service, status, now=now)
    return Changes(
        apply=tuple(one for one in desired.wanted if states[Ref.of(one)] is ObjectState.NEEDED),
        delete=() if desired.obstacle or observed.refusal else _obsolete(desired, observed),
        status=statuses.manifest(service, wanted) if wanted is not None else None,
        events=statuses.warnings(service, wanted.conditions, now=now) if wanted is not None else (),
        waits=bool(observed.remarks)
        or (obstacle is not None and desired.obstacle is None)
        or any(map(_lacks_silently, description.groups, pools)),
        due_s=seconds_to_wait(observed.pods, now=now),
    )


def without_rivals(
    wanted: tuple[Wanted, ...], owned_objects: Mapping[Ref, OwnedObject], autoscalers: tuple[Autoscaler, ...]
) -> tuple[tuple[Wanted, ...], dict[Ref, str]]:
    """The manifests without the replicas that others scale, and who these are, by what they scale."""
    rivals: dict[Ref, str] = {}
    for one in wanted:
        ref = Ref.of(one)
        there = owned_objects.get(ref)
        manager = there.rollout.scaled_by if there is not None and there.rollout is not None else ""
        who = rival(ref.kind, ref.key, manager=manager, autoscalers=autoscalers)
        if who and "replicas" in one.manifest.get("spec", {}):
            rivals[ref] = who
    left = tuple(manifests.without_replicas(one) if Ref.of(one) in rivals else one for one in wanted)
    return left, rivals


def unread(desired: Desired, known: KnownObjects) -> tuple[Ref, ...]:
    """Objects to read before a plan, since facts don't tell how they stand."""
    uid = desired.description.uid
    return tuple(
        Ref.of(one) for one in desired.wanted if object_state(uid, one, known=known) is ObjectState.UNREAD
    )


def views(description: Description, observed: Observed) -> tuple[PoolView, ...]:
    """The service's pools as they stand, the router last."""
    return tuple(_view(description.uid, group, observed) for group in description.groups)


def pod_makers(description: Description, observed: Observed) -> dict[Ref, PodMaker]:
    """Workloads of which pods are lacking, and whose own status doesn't tell why."""
    viewed = zip(description.groups, views(description, observed), strict=True)
    return {
        Ref(group.kind, group.key): _maker(group, one.rollout, observed)
        for group, one in viewed
        if one.rollout is not None and _lacks_silently(group, one)
    }


def _lacks_silently(group: Group, view: PoolView) -> bool:
    """Whether pods of a workload are lacking whose own status doesn't tell why."""
    return group.kind == LEADER_WORKER_SETS and view.rollout is not None and view.lacks_pods


def _maker(group: Group, rollout: Rollout, observed: Observed) -> PodMaker:
    return PodMaker(
        kind=group.kind.kind,
        key=group.key,
        uid=observed.known.owned_objects[Ref(group.kind, group.key)].uid,
        since=rollout.since,
        groups=max(rollout.asked, rollout.there),
    )


def key_of(service: InferenceService) -> Key:
    return Key(service.metadata.namespace, service.metadata.name)


def _view(uid: str, group: Group, observed: Observed) -> PoolView:
    ref = Ref(group.kind, group.key)
    there = observed.known.owned_objects.get(ref)
    ours = there is not None and there.is_of(uid)
    rollout = _told(there.rollout, observed.refused_pods.get(ref)) if there is not None and ours else None
    left = ref in observed.rivals and rollout is not None
    return PoolView(
        name=group.name,
        workload=str(ref),
        asked=rollout.asked if left and rollout is not None else group.replicas,
        rollout=rollout,
        pods=tuple(pod for pod in observed.pods if pod.pool == group.name),
    )


def _told(rollout: Rollout | None, refused: PodFault | None) -> Rollout | None:
    """A workload's rollout with what was said against its pods where it doesn't tell this itself."""
    return replace(rollout, complaint=refused) if rollout is not None and refused is not None else rollout


def _obstacle(desired: Desired, observed: Observed, states: Mapping[Ref, ObjectState]) -> Finding | None:
    """Why the cluster isn't and won't be as the spec says, if something is in the way."""
    known = desired.obstacle or observed.refusal
    if known is not None:
        return known
    taken = [ref for ref, one in states.items() if one is ObjectState.TAKEN]
    if not taken:
        return None
    text = f"{taken[0]} exists, and Loadline did not create it: rename it, or the InferenceService"
    return Finding(so=False, reason=Reason.NAME_TAKEN, text=text)


def _remarked(ready: Finding, remarks: tuple[str, ...]) -> Finding:
    """Whether the service is ready doesn't hang on extras, but its status says what became of them."""
    return (
        replace(ready, text="; ".join((ready.text or ready.reason.sentence, *remarks))) if remarks else ready
    )


def _obsolete(desired: Desired, observed: Observed) -> tuple[tuple[Ref, str], ...]:
    """Objects of this service that the spec doesn't want any more."""
    wanted, uid = {Ref.of(one) for one in desired.wanted}, desired.description.uid
    return tuple(
        (ref, one.uid)
        for ref, one in sorted(
            observed.known.owned_objects.items(),
            key=lambda item: (OWNED_KINDS.index(item[0].kind), item[0].key),
        )
        if ref not in wanted and one.is_of(uid) and not one.deleting
    )


def refusal(ref: Ref, said: str) -> Finding:
    """What the API server says against an object of ours, as a finding."""
    fault = refused_pods(said)
    if fault.reason is Reason.QUOTA_EXCEEDED:
        return Finding(so=False, reason=fault.reason, text=f"{ref}: {fault.text}")
    return Finding(so=False, reason=Reason.TEMPLATE_REFUSED, text=f"{ref}: {said}")
