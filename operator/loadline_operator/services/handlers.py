"""
The controller of InferenceServices: every event that bears on a service leads to one
`reconcile`, which reads it anew, has it kept or attached, and writes its status.

Events become facts in `index`; what moved no fact wakes nobody. A service in whose way
stands something that may go without an event (a name that is taken, a template that a
quota refuses, pods that carry no label of ours, or aren't made) is looked at again after a
while: soon at first, since who makes pods says only then why it can't, later and later after that.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from loadline_api.api_errors import NotFound, WriteConflict
from loadline_api.conditions import SERVICE_CONDITIONS
from loadline_api.inference_services import InferenceService
from loadline_operator.contexts import Context
from loadline_operator.kube.controllers import Controller, Watched
from loadline_operator.kube.kinds import AGENT_PODS, INFERENCE_SERVICES, Key, Kind, Manifest
from loadline_operator.kube.optional_kinds import OptionalKinds
from loadline_operator.metrics import VERDICTS
from loadline_operator.policies.handlers import Documents
from loadline_operator.services.attached import AttachedServices
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.facts.index import ServiceIndex
from loadline_operator.services.managed import ManagedServices
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS
from loadline_operator.services.plan import Changes, key_of
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop

FIRST_LOOK_S, LONGEST_LOOK_S = 2.0, 60.0
"""Chosen: an obstacle is told as soon, gone within a minute of its end, and costs some requests a minute."""

log = structlog.get_logger("loadline.operator")


class Services(Controller[Key]):
    """InferenceServices and all that belongs to them."""

    name = "services"

    def __init__(
        self, context: Context, defaults: Defaults, *, documents: Documents, agents: AgentPods
    ) -> None:
        super().__init__(context.metrics)
        self._context = context
        documents.moved.append(self._policy_moved)
        self.facts = ServiceIndex(context.unreadable, agents)
        self.optional_kinds = OptionalKinds(
            context.applier.requests, always=OPTIONAL_KINDS, seen=self.see, turned=self._turned
        )
        self._managed = ManagedServices(
            context,
            self.facts,
            answered=self._see_answer,
            optional_kinds=self.optional_kinds,
            defaults=defaults,
            policy_index=documents.policy_index,
        )
        self._attached = AttachedServices(
            context, self.facts, optional_kinds=self.optional_kinds, policy_index=documents.policy_index
        )
        self._waiting_since_s: dict[Key, float] = {}
        context.metrics.measures.append(self._measure)

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Services, what belongs to them, and the agents' pods."""
        tables = self.facts.tables.items()
        ours = [Watched(kind, table, partial(self.see, kind)) for kind, table in tables]
        return (*ours, Watched(AGENT_PODS, self.facts.agents.table, self._see_agent))

    def list_watches(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Kinds of other projects, followed while they are served."""
        return [self.optional_kinds.run()]

    @property
    def unanswered(self) -> str:
        """The kinds of which it isn't known yet whether they are served."""
        silent = self.optional_kinds.silent
        return f"the API server has not answered yet whether {', '.join(silent)} are served" if silent else ""

    async def answered(self) -> None:
        """Return once it is known which kinds of other projects are served."""
        await self.optional_kinds.answered()

    def see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        """An event: remember its fact, and look soon at the services that it concerns."""
        for key in self.facts.see(kind, raw, gone=gone):
            self.work_queue.add(key)
        if kind is INFERENCE_SERVICES:
            self.optional_kinds.want(self.facts.foreign_kinds())

    def _see_answer(self, kind: Kind, made: Manifest) -> None:
        for key in self.facts.see_answer(kind, made):
            self.work_queue.add(key)

    def _see_agent(self, raw: Manifest, gone: bool) -> None:
        for key in self.facts.see_agent(raw, gone):
            self.work_queue.add(key)

    def wake(self) -> None:
        """Look at every service."""
        for key in sorted(self.facts.services.uids()):
            self.work_queue.add(key)

    def _turned(self, kind: Kind) -> None:
        """A kind of another project has come or gone: who may use it, or is attached to it, looks."""
        if kind in OPTIONAL_KINDS:
            self.wake()
        for key in self.facts.claimants(kind):
            self.work_queue.add(key)

    def _policy_moved(self, key: Key, loops: frozenset[Loop]) -> None:
        """A document has moved: who asks for its loop looks, of its own namespace or of all."""
        everywhere = key.namespace == self._context.system_namespace
        for one in self.facts.asking(loops, "" if everywhere else key.namespace):
            self.work_queue.add(one)

    async def reconcile(self, key: Key) -> None:
        """Make the cluster as the service says: read, plan, apply."""
        raw = await self._context.applier.get(INFERENCE_SERVICES, key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._managed.forget(key)
            self._waiting_since_s.pop(key, None)
            return
        service = self._parsed(key, raw)
        if service is None:
            return
        if service.spec.model is not None:
            changes, did = await self._managed.keep(service)
        else:
            changes, did = await self._attached.attach(service, raw)
        did += await self._write(changes)
        pauses_s = [
            one for one in (self._pause_s(key, waits=changes.waits), changes.due_s) if one is not None
        ]
        if pauses_s:
            self.work_queue.add_later(key, min(pauses_s))
        elif self.facts.fades(key):
            self.work_queue.add_later(key, self.facts.agents.silent_after_s)
        if did:
            self._tell(service, did, changes)
        if changes.refused is not None:
            raise changes.refused

    def _pause_s(self, key: Key, *, waits: bool) -> float | None:
        """Until the next look at a service that waits: as long as it has waited, within bounds."""
        if not waits:
            self._waiting_since_s.pop(key, None)
            return None
        now_s = asyncio.get_running_loop().time()
        waited_s = now_s - self._waiting_since_s.setdefault(key, now_s)
        return min(LONGEST_LOOK_S, max(FIRST_LOOK_S, waited_s))

    def _parsed(self, key: Key, raw: Manifest) -> InferenceService | None:
        try:
            return InferenceService.parse(raw)
        except InvalidInput as error:
            self._context.unreadable(INFERENCE_SERVICES, key, error)
            return None

    async def _write(self, changes: Changes) -> list[str]:
        """Write the status, then post the Events of turns; a service that is gone needs neither."""
        applier = self._context.applier
        if changes.status is None:
            return []
        try:
            made = await applier.apply_status(INFERENCE_SERVICES, changes.status)
        except (NotFound, WriteConflict):
            return []
        self._see_answer(INFERENCE_SERVICES, made)
        for event in changes.events:
            await self._context.post(event)
        return ["applied status"]

    def _tell(self, service: InferenceService, did: list[str], changes: Changes) -> None:
        self._context.metrics.writes.labels("services").inc(len(did))
        key = str(key_of(service))
        conditions = (changes.status or {}).get("status", {}).get("conditions", ())
        reasons = [one["message"] for one in conditions if one["type"] == "Ready"]
        reason = reasons[0] if reasons else "the spec or the cluster has changed"
        saw = {"generation": service.metadata.generation, "replicas": service.spec.replicas}
        self._context.journal.write(
            self.name, kind=INFERENCE_SERVICES.kind, name=key, observation=saw, decision=did, reason=reason
        )
        log.info("a service was brought up to date", object=key, did=did, reason=reason)

    def _measure(self) -> None:
        """Count services by condition and status, and those of which a guard ended a capacity."""
        counts = {(condition, verdict): 0 for condition in SERVICE_CONDITIONS for verdict in VERDICTS}
        for fact in self.facts.services.facts():
            for told in fact.conditions:
                if told in counts:
                    counts[told] += 1
        for (condition, verdict), count in counts.items():
            self._context.metrics.services.labels(condition, verdict).set(count)
        breached = sum(fact.guard_breached for fact in self.facts.services.facts())
        self._context.metrics.guards_breached.set(breached)
        unbounded = sum(fact.unbounded for fact in self.facts.services.facts())
        self._context.metrics.unbounded.set(unbounded)
