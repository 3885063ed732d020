"""
Everything that is remembered of services, and whom an event concerns.

A service depends on what it owns, its pods, autoscalers that aim at it, what nodes tell
of it, and, if it is attached, on the workload of somebody else and on rivals for it.
Each event comes in here, becomes a fact, and the services are told that need another
look because of it. An event that moves no fact concerns nobody.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from loadline_operator.kube.fact_tables import FactTable, Groups
from loadline_operator.kube.kinds import (
    AUTOSCALERS,
    INFERENCE_SERVICES,
    NODE_CAPACITIES,
    PODS,
    Key,
    Kind,
    Manifest,
)
from loadline_operator.services.facts import (
    autoscalers,
    foreign_workloads,
    node_reports,
    pods,
)
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.facts.autoscalers import Autoscaler, Target
from loadline_operator.services.facts.claimed_workloads import WorkloadClaim
from loadline_operator.services.facts.foreign_workloads import COMPANIONS, FOREIGN_KINDS, ForeignWorkload
from loadline_operator.services.facts.node_reports import NodeReport, NodeReports
from loadline_operator.services.facts.object_states import Ref
from loadline_operator.services.facts.owned_objects import OwnedObject, owned_object
from loadline_operator.services.facts.pods import PodFact
from loadline_operator.services.facts.service_facts import ServiceFact, service_fact
from loadline_operator.services.facts.workload_kin import WorkloadKin
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS, OWNED_KINDS
from loadline_policies.loops import Loop


class ServiceIndex:
    """The facts of all services, and the services that a fact concerns.

    An object that isn't shaped as its kind should be is remembered without a fact, and told
    to `unreadable`: somebody else's oddity stops nobody.
    """

    def __init__(self, unreadable: Callable[[Kind, Key, Exception], None], agents: AgentPods) -> None:
        self._unreadable, self.agents = unreadable, agents
        self.services: Groups[ServiceFact, WorkloadClaim] = Groups(lambda key, fact: fact.claim)
        self.owned: dict[Kind, Groups[OwnedObject, Key]] = {
            kind: Groups(lambda key, fact: Key(key.namespace, fact.service)) for kind in OWNED_KINDS
        }
        self.pods: Groups[PodFact, Key] = Groups(lambda key, fact: Key(key.namespace, fact.service))
        self.autoscalers: Groups[Autoscaler, str] = Groups(lambda key, fact: key.namespace)
        self.nodes: FactTable[NodeReports] = FactTable()
        self.foreign: dict[Kind, FactTable[ForeignWorkload]] = {
            kind: FactTable() for kind in (*FOREIGN_KINDS, *COMPANIONS.values())
        }
        self.kin = WorkloadKin(self.services, self.foreign)
        watched: dict[Kind, FactTable[Any]] = {
            INFERENCE_SERVICES: self.services,
            PODS: self.pods,
            AUTOSCALERS: self.autoscalers,
            NODE_CAPACITIES: self.nodes,
        }
        self._tables: dict[Kind, FactTable[Any]] = {**watched, **self.owned, **self.foreign}
        self.tables = {
            kind: table
            for kind, table in self._tables.items()
            if kind in watched or (kind in self.owned and kind not in OPTIONAL_KINDS)
        }
        """The tables of kinds that every cluster has, and that are watched all the time."""

    def see(self, kind: Kind, raw: Manifest, *, gone: bool) -> set[Key]:
        """An event: remember its fact, and say which services need another look."""
        table, key = self._tables[kind], Key.of(raw)
        before = table.get(key)
        moved = table.see(raw, gone=gone, read=partial(self._read, kind))
        return self._concerned(kind, key, before=before, after=table.get(key)) if moved else set()

    def see_answer(self, kind: Kind, raw: Manifest) -> set[Key]:
        """An answer to our own write: remember its fact, and say which services need another look.

        Its echo by the watch moves nothing any more, nor do older events that it has overtaken.
        So what others have done to a known object until then must be told here.
        """
        table, key = self._tables[kind], Key.of(raw)
        before = table.get(key)
        moved = table.see_answer(raw, read=partial(self._read, kind))
        after = table.get(key)
        if not moved or before is None:
            return set()
        if kind is INFERENCE_SERVICES and after is not None and after.generation == before.generation:
            return set()
        return self._concerned(kind, key, before=before, after=after)

    def owned_by(self, service: Key) -> dict[Ref, OwnedObject]:
        """What carries the service's label, of all kinds that a service may become."""
        return {
            Ref(kind, key): fact
            for kind, table in self.owned.items()
            for key, fact in table.of(service).items()
        }

    def reports_of(self, service: Key) -> tuple[NodeReport, ...]:
        """What the nodes tell of a service; of those whose agents have fallen silent, only that."""
        told = self._told_of(service)
        return tuple(NodeReport(believed=False) if self.agents.silent(node) else one for node, one in told)

    def fades(self, service: Key) -> bool:
        """Whether something told of a service will soon be believed no more, without an event."""
        return any(self.agents.fades(node) for node, _ in self._told_of(service))

    def see_agent(self, raw: Manifest, gone: bool) -> set[Key]:
        """An event of an agent's pod: the services of whose node's word another look is to be had."""
        nodes = self.agents.see(raw, gone)
        return {_key(name) for node in nodes for name in self.nodes.get(Key("", node)) or ()}

    def _told_of(self, service: Key) -> Iterator[tuple[str, NodeReport]]:
        """Each node that tells of a service, and what."""
        name = str(service)
        for node, told in self.nodes.items():
            if name in told:
                yield node.name, told[name]

    def rivals_of(self, service: Key, claim: WorkloadClaim) -> tuple[str, ...]:
        """The names of other services with the same claim, or one on what owns it or is owned by it."""
        return tuple(
            key.name if other == claim else f"{key.name} (by {other})"
            for other in self.kin.of(claim)
            for key in self.services.of(other)
            if key != service
        )

    def pod(self, raw: Manifest) -> PodFact:
        """The fact of a pod that no watch has told of."""
        try:
            return pods.fact(raw)
        except Exception as error:  # counted, as in events
            self._unreadable(PODS, Key.of(raw), error)
            return pods.unreadable(raw)

    def foreign_kinds(self) -> frozenset[Kind]:
        """Kinds of somebody else that a service names, and those that tell of them too."""
        named = {fact.foreign for fact in self.services.facts() if fact.foreign is not None}
        return frozenset(named | {COMPANIONS[kind] for kind in named if kind in COMPANIONS})

    def claimants(self, kind: Kind) -> Iterator[Key]:
        """Services that are attached to an object of this kind, or of one of which it tells."""
        for key in self.services.uids():
            fact = self.services.get(key)
            foreign = fact.foreign if fact is not None else None
            if foreign is not None and kind in (foreign, COMPANIONS.get(foreign)):
                yield key

    def asking(self, loops: frozenset[Loop], namespace: str = "") -> Iterator[Key]:
        """Services, of one namespace or of all, that ask for one of these loops."""
        for key in self.services.uids():
            fact = self.services.get(key)
            if fact is not None and fact.loops & loops and namespace in ("", key.namespace):
                yield key

    def _read(self, kind: Kind, raw: Manifest) -> Any:
        try:
            return self._fact(kind, raw)
        except Exception as error:  # counted: somebody else's oddity stops nobody
            self._unreadable(kind, Key.of(raw), error)
            return pods.unreadable(raw) if kind is PODS else None

    def _fact(self, kind: Kind, raw: Manifest) -> Any:
        if kind in self.owned:
            return owned_object(kind, raw)
        if kind in self.foreign:
            return foreign_workloads.foreign_workload(kind, raw)
        readers = {
            INFERENCE_SERVICES: service_fact,
            PODS: pods.fact,
            AUTOSCALERS: autoscalers.autoscaler,
            NODE_CAPACITIES: node_reports.node_reports,
        }
        return readers[kind](raw)

    def _concerned(self, kind: Kind, key: Key, *, before: Any, after: Any) -> set[Key]:
        facts = [fact for fact in (before, after) if fact is not None]
        if kind is INFERENCE_SERVICES:
            claims = {fact.claim for fact in facts}
            changed = claims if len(claims) > 1 or len(facts) == 1 else set()
            return {key, *(rival for claim in changed if claim for rival in self.kin.claiming(claim))}
        if kind is NODE_CAPACITIES:
            return {_key(name) for name in node_reports.turned(before or {}, after or {})}
        if kind is AUTOSCALERS:
            return {one for fact in facts for one in self._aimed_at(fact.target)}
        if kind in self.foreign:
            return self.kin.concerned(kind, key, facts)
        return {Key(key.namespace, fact.service) for fact in facts if fact.service}

    def _aimed_at(self, target: Target) -> Iterable[Key]:
        """Services that an autoscaler moves: the target itself, its owner, or whoever is attached to it."""
        if target == Target.of(INFERENCE_SERVICES, target.key):
            yield target.key
        for kind, table in self.owned.items():
            if target == Target.of(kind, target.key) and (group := table.group(target.key)) is not None:
                yield group
        claim = WorkloadClaim(target.group, target.kind, target.key.namespace, target.key.name)
        yield from self.services.of(self.kin.told_of(claim))


def _key(name: str) -> Key:
    namespace, _, name = name.partition("/")
    return Key(namespace, name)
