"""
Brings one attached service up to date: reads the workload of somebody else, tells, scales.

What follows from the facts is in `attachments`. Pods of others carry no label of ours, so
they are listed by the workload's own selector, and only while it isn't ready, to say
why; Events of whoever makes them, only where some are lacking. Besides the service's status
nothing is written but `/scale`: the workload's, and the service's own to tell the workload's
count, each only where `attachments` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from loadline_api.api_errors import NotFound, Refused, WriteConflict
from loadline_api.conditions import ConditionType
from loadline_api.inference_services import InferenceService
from loadline_api.names import MAIN_POOL
from loadline_api.reasons import Reason
from loadline_operator.contexts import Context
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import INFERENCE_SERVICES, LEADER_WORKER_SETS, Key, Kind, Manifest
from loadline_operator.kube.optional_kinds import OptionalKinds
from loadline_operator.policies.documents import PolicyIndex
from loadline_operator.services import health, statuses
from loadline_operator.services.attachments import Attachment, attachment, unmoved
from loadline_operator.services.facts import autoscalers, claimed_workloads, pods, workload_roles
from loadline_operator.services.facts.autoscalers import Target
from loadline_operator.services.facts.disaggregated_sets import ROLE_SCALERS, SET_LABEL, scaler_of
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.foreign_workloads import (
    DISAGGREGATED_SETS,
    GROUPS,
    ForeignWorkload,
    foreign_workload,
)
from loadline_operator.services.facts.index import ServiceIndex
from loadline_operator.services.facts.owned_objects import Rollout
from loadline_operator.services.facts.pods import PodFact
from loadline_operator.services.facts.refused_creations import STATEFUL_SET, PodMaker
from loadline_operator.services.health import PoolView
from loadline_operator.services.plan import Changes, key_of
from loadline_operator.services.pod_refusals import pod_refusal
from loadline_operator.services.policy_choices import policies
from loadline_operator.services.takeovers import Word, word

PODS_OF_OTHERS = Kind(group="", version="v1", plural="pods", kind="Pod")

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One attached service with all that bears on it."""

    service: InferenceService
    kind: Kind | None
    there: ForeignWorkload | None
    served: bool
    said: Word


class AttachedServices:
    """Tells of services whose pods are somebody else's."""

    def __init__(
        self,
        context: Context,
        facts: ServiceIndex,
        *,
        optional_kinds: OptionalKinds,
        policy_index: PolicyIndex,
    ) -> None:
        self._context, self._facts, self._optional_kinds, self._policy_index = (
            context,
            facts,
            optional_kinds,
            policy_index,
        )

    async def attach(self, service: InferenceService, raw: Manifest) -> tuple[Changes, list[str]]:
        """Bring one service up to date; the changes, and what was done in words."""
        kind = claimed_workloads.kind_of(service)
        served = self._optional_kinds.served(kind) if kind is not None else False
        if served is None:
            return Changes(), []
        case = _Case(
            service=service,
            kind=kind,
            there=self._there(service, kind),
            served=served,
            said=word(raw),
        )
        found = self._judged(case, None)
        bad: tuple[PodFact, ...] = ()
        if not _works(found):
            bad = await self._pods(case, found)
            case = await self._with_refused_pods(case, bad)
            found = self._judged(case, pods.worst(bad))
        try:
            did = await self._move(case, found, version=raw["metadata"]["resourceVersion"])
        except Refused as error:
            found, did = unmoved(found, service, str(error)), []
            return replace(self._changes(case, found, bad), refused=error), did
        if did is None:
            return Changes(waits=True), []
        return self._changes(case, found, bad), did

    def _there(self, service: InferenceService, kind: Kind | None) -> ForeignWorkload | None:
        reference = service.spec.workload_ref
        if kind is None or reference is None:
            return None
        there = self._facts.foreign[kind].get(Key(service.metadata.namespace, reference.name))
        role = workload_roles.chosen(there, reference.role) if there is not None else None
        if there is None or role is None:
            return there
        scaler = self._facts.foreign[ROLE_SCALERS].get(scaler_of(there.key, role.name))
        return workload_roles.of_role(there, role, scaler)

    def _judged(self, case: _Case, fault: PodFault | None) -> Attachment:
        key, claim = key_of(case.service), claimed_workloads.claim(case.service)
        return attachment(
            case.service,
            case.there,
            api_served=case.served,
            rivals=self._facts.rivals_of(key, claim) if claim is not None else (),
            others=self._facts.kin.beside(case.there) if case.there is not None else (),
            scaler=self._scaler(case),
            handed_over=self._handed_over(key),
            said=case.said,
            fault=fault,
        )

    def _scaler(self, case: _Case) -> str:
        there = case.there
        if there is None:
            return ""
        known = self._facts.autoscalers.of(there.key.namespace).values()
        return autoscalers.rival(*there.scaled, manager=there.scaled_by, autoscalers=known)

    def _handed_over(self, key: Key) -> bool:
        """Whether an autoscaler aims at the service itself."""
        target = Target.of(INFERENCE_SERVICES, key)
        return any(one.target == target for one in self._facts.autoscalers.of(key.namespace).values())

    async def _move(self, case: _Case, found: Attachment, *, version: str) -> list[str] | None:
        """Move the replicas of the service or of the workload, whichever are to follow; what was done.

        None where the service must be read anew first: somebody has written it meanwhile, and may have
        asked for replicas. Raises Refused.
        """
        scale, there = self._context.applier.scale, case.there
        try:
            if found.take_over is not None:
                await scale(
                    INFERENCE_SERVICES, key_of(case.service), replicas=found.take_over, version=version
                )
                return [f"took over {found.take_over} replicas"]
            if found.scale_to is not None and there is not None:
                await scale(*there.scaled, replicas=found.scale_to)
                return [f"scaled {there} to {found.scale_to}"]
        except (NotFound, WriteConflict) as error:
            gone = isinstance(error, NotFound) and found.take_over is None
            return [] if gone else None
        return []

    async def _pods(self, case: _Case, found: Attachment) -> tuple[PodFact, ...]:
        """The pods of a workload that isn't ready; none where nobody can tell."""
        selector = found.pod_selector or found.selector
        if not selector:
            return ()
        namespace = case.service.metadata.namespace
        try:
            listed = await self._context.applier.selected(
                PODS_OF_OTHERS, namespace=namespace, selector=selector
            )
        except Refused as error:
            log.warning("pods of a workload cannot be listed", selector=selector, error=str(error))
            return ()
        return pods.waiting_long(map(self._facts.pod, listed), now=self._context.clock())

    async def _with_refused_pods(self, case: _Case, found: Sequence[PodFact]) -> _Case:
        """The same case, with what Events say against pods that aren't made."""
        there = case.there
        if there is None or not (there.roles or _view(there, found).lacks_pods):
            return case
        complaint = await pod_refusal(self._context.applier, await self._makers(there))
        return replace(case, there=replace(there, complaint=complaint or there.complaint))

    async def _makers(self, there: ForeignWorkload) -> list[PodMaker]:
        """What is to make the workload's pods; a set of roles has a LeaderWorkerSet for each of its roles."""
        if there.kind is not DISAGGREGATED_SETS:
            return _maker(there)
        namespace, selector = there.key.namespace, f"{SET_LABEL}={there.key.name}"
        try:
            listed = await self._context.applier.selected(GROUPS, namespace=namespace, selector=selector)
        except Refused as error:
            log.warning("groups of a set of roles cannot be listed", selector=selector, error=str(error))
            return []
        return [maker for raw in listed for maker in _maker(foreign_workload(GROUPS, raw))]

    def _changes(self, case: _Case, found: Attachment, bad: tuple[PodFact, ...]) -> Changes:
        service, now = case.service, self._context.clock()
        status = statuses.attached(
            service,
            found,
            _capacity(case.there, found, bad),
            seen=self._facts.reports_of(key_of(service)),
            policies=policies(service, self._policy_index),
        )
        wanted = statuses.written(service, status, now=now)
        return Changes(
            status=statuses.manifest(service, wanted) if wanted is not None else None,
            events=statuses.warnings(service, wanted.conditions, now=now) if wanted is not None else (),
            waits=bool(bad) or (case.there is not None and not _works(found)),
            due_s=pods.seconds_to_wait(bad, now=now),
        )


def _capacity(there: ForeignWorkload | None, found: Attachment, bad: Sequence[PodFact]) -> Finding:
    """Whether pods wait; not known where they aren't looked at."""
    attached = found.findings[ConditionType.ATTACHED]
    if there is None or not attached.so:
        return replace(attached, so=None)
    if not _works(found) and not bad and there.there != 0:
        text = "the operator sees no pod of the workload, so it can't know whether one waits"
        return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
    return health.capacity((_view(there, bad),))


def _view(there: ForeignWorkload, found: Sequence[PodFact]) -> PoolView:
    """The workload as a pool, if its kind tells counts, with those of its pods that were looked at."""
    rollout = Rollout(
        asked=there.asked or 0,
        there=there.there if there.there is not None else there.asked or 0,
        ready=there.ready or 0,
        size=there.size,
        complaint=there.complaint,
    )
    return PoolView(
        name=MAIN_POOL, workload=str(there), asked=rollout.asked, rollout=rollout, pods=tuple(found)
    )


def _maker(there: ForeignWorkload) -> list[PodMaker]:
    """The workload itself, where its own status doesn't tell why it can't make its pods."""
    if there.kind.kind not in (STATEFUL_SET, LEADER_WORKER_SETS.kind):
        return []
    groups = max(there.asked or 0, there.there or 0)
    return [PodMaker(kind=there.kind.kind, key=there.key, uid=there.uid, since=there.since, groups=groups)]


def _works(found: Attachment) -> bool:
    return bool(found.findings[ConditionType.WORKLOADS_READY].so)
