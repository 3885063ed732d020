"""
The controller of PowerDomains: nodes, capacities, Leases, documents and domains all lead
to one `reconcile(name)`, which plans from the facts at hand and applies the difference.

A domain depends on its neighbours (a child's budget, a rival's selector), so whatever
moves has those planned that it concerns: see `relations`. What has not moved wakes
nobody: see `facts`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog

from loadline_api.api_errors import NotFound, WriteConflict
from loadline_api.conditions import ConditionType, find
from loadline_api.names import lease_name
from loadline_operator.contexts import Context
from loadline_operator.domains import facts
from loadline_operator.domains.plan import Changes, Observed, plan
from loadline_operator.domains.relations import Relations
from loadline_operator.kube.controllers import Controller, Watched
from loadline_operator.kube.fact_tables import FactTable, ToldTable
from loadline_operator.kube.kinds import (
    LEASES,
    NODE_CAPACITIES,
    NODES,
    POWER_DOMAINS,
    Key,
    Kind,
    Manifest,
)
from loadline_operator.policies.handlers import Documents
from loadline_policies.loops import Loop

SETTLE_S = 0.1
"""Chosen: nodes come and go in bursts, and an edit of a policy shall show within two seconds."""

READERS: dict[Kind, Callable[[Manifest], Any]] = {
    NODES: facts.node,
    NODE_CAPACITIES: facts.capacity,
    LEASES: facts.lease,
    POWER_DOMAINS: facts.domain,
}

log = structlog.get_logger("loadline.operator")


class Domains(Controller[Key]):
    """PowerDomains with all that belongs to them."""

    name = "domains"
    settle_s = SETTLE_S

    def __init__(self, context: Context, documents: Documents) -> None:
        super().__init__(context.metrics)
        self._context, self._policy_index = context, documents.policy_index
        self._relations = Relations()
        documents.moved.append(self._policy_moved)
        context.metrics.measures.append(self._measure)
        self.nodes = ToldTable[facts.Node](self._node_moved)
        self.capacities = ToldTable[facts.Capacity](self._capacity_moved)
        self.leases = ToldTable[facts.DomainLease](self._lease_moved)
        self.domains = ToldTable[facts.Domain](self._domain_moved)
        self._tables: dict[Kind, FactTable[Any]] = {
            NODES: self.nodes,
            NODE_CAPACITIES: self.capacities,
            LEASES: self.leases,
            POWER_DOMAINS: self.domains,
        }

    @property
    def watched(self) -> tuple[Watched, ...]:
        return tuple(Watched(kind, table, partial(self._see, kind)) for kind, table in self._tables.items())

    def wake(self) -> None:
        """Look at every domain."""
        for key in sorted(self.domains.uids()):
            self.work_queue.add(key)

    def _plan(self, names: Iterable[str]) -> None:
        """Look at these domains."""
        for name in sorted(names):
            key = Key("", name)
            if key in self.domains:
                self.work_queue.add(key)

    def _node_moved(self, key: Key, node: facts.Node | None) -> None:
        self._plan(self._relations.node_moved(key.name, node))

    def _capacity_moved(self, key: Key, capacity: facts.Capacity | None) -> None:
        self._plan(self._relations.claiming(key.name))

    def _lease_moved(self, key: Key, lease: facts.DomainLease | None) -> None:
        if key.name.startswith(lease_name("")):
            self._plan([key.name.removeprefix(lease_name(""))])

    def _domain_moved(self, key: Key, domain: facts.Domain | None) -> None:
        self._plan(self._relations.domain_moved(key.name, domain))

    def _policy_moved(self, key: Key, loops: frozenset[Loop]) -> None:
        if Loop.POWER in loops and key.namespace == self._context.system_namespace:
            self._plan(one.name for one in self.domains.facts() if one.spec.policy_ref.name == key.name)

    def _see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        self._tables[kind].see(raw, gone=gone, read=partial(self._context.fact, kind, READERS[kind]))

    def _see_answer(self, kind: Kind, raw: Manifest) -> None:
        self._tables[kind].see_answer(raw, read=partial(self._context.fact, kind, READERS[kind]))

    async def reconcile(self, key: Key) -> None:
        """Make Lease and status as the domain needs them: read, plan, apply."""
        domain = self.domains.get(key)
        if domain is None:
            return
        changes = plan(domain, self._observe(domain), now=self._context.clock())
        if changes:
            await self._apply(key, domain, changes)

    def _observe(self, domain: facts.Domain) -> Observed:
        namespace, members = self._context.system_namespace, self._relations.members(domain.name)
        told = ((node.name, self.capacities.get(Key("", node.name))) for node in members)
        return Observed(
            system_namespace=namespace,
            domains=self._relations.related(domain.name),
            nodes=members,
            capacities={node: capacity for node, capacity in told if capacity is not None},
            lease=self.leases.get(Key(namespace, lease_name(domain.name))),
            document=self._policy_index.find(Loop.POWER, Key(namespace, domain.spec.policy_ref.name)),
        )

    async def _apply(self, key: Key, domain: facts.Domain, changes: Changes) -> None:
        """The Lease first, so that a candidate in the status is always one on the Lease."""
        applier, did = self._context.applier, []
        if changes.lease is not None:
            made = await applier.apply(LEASES, changes.lease)
            self._see_answer(LEASES, made)
            did.append("applied Lease")
        if changes.status is not None:
            try:
                made = await applier.apply_status(POWER_DOMAINS, changes.status)
            except (NotFound, WriteConflict):
                return  # nobody's business any more
            self._see_answer(POWER_DOMAINS, made)
            did.append("applied status")
        for event in changes.events:
            await self._context.post(event)
        self._tell(key, domain, changes=changes, did=did)

    def _tell(self, key: Key, domain: facts.Domain, *, changes: Changes, did: list[str]) -> None:
        self._context.metrics.writes.labels("domains").inc(len(did))
        wanted = changes.wanted
        assert wanted is not None
        accepted = find(wanted.conditions, ConditionType.ACCEPTED)
        reason = accepted.message if accepted is not None else ""
        saw = {
            "generation": domain.generation,
            "members": len(wanted.members),
            "candidates": list(wanted.candidates),
            "policy_hash": wanted.policy_hash,
            "safe_watts": wanted.safe_watts,
        }
        self._context.journal.write(
            self.name, kind=POWER_DOMAINS.kind, name=str(key), observation=saw, decision=did, reason=reason
        )
        log.info(
            "a domain was brought up to date",
            domain=domain.name,
            did=did,
            policy_hash=wanted.policy_hash,
            reason=reason,
        )

    def _measure(self) -> None:
        counts = dict.fromkeys(("True", "False", "Unknown"), 0)
        for domain in self.domains.facts():
            accepted = find(domain.status.conditions, ConditionType.ACCEPTED)
            counts[accepted.status if accepted is not None else "Unknown"] += 1
        for status, count in counts.items():
            self._context.metrics.domains.labels(status).set(count)
