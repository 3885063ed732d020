"""Only the domains are planned anew that a moved object concerns, and their plans are those of everything."""

from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.names import API_VERSION, CANDIDATES_ANNOTATION, DOMAIN_LABEL, lease_name
from loadline_operator.contexts import Context
from loadline_operator.domains.handlers import Domains
from loadline_operator.domains.plan import Changes, Observed, plan
from loadline_operator.kube.kinds import (
    LEASES,
    NODE_CAPACITIES,
    NODES,
    POWER_DOMAINS,
    Key,
    Kind,
    Manifest,
)
from loadline_operator.metrics import Metrics
from loadline_operator.policies.documents import Document, PolicyIndex
from loadline_policies.loops import Loop
from testbed.agent_specs import agent_spec

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SYSTEM = "loadline-system"
DOMAINS, NODE_NAMES, LABELS = ("a", "b", "c", "d"), ("n0", "n1", "n2", "n3"), ("row", "feed")

KINDS = ("node", "node", "domain", "domain", "capacity", "lease", "policy", "status")

MOVES = 80

Move = tuple[str, tuple[Any, ...]]


class Cluster:
    """The controller with everything that it is told, and the domains that it has queued since."""

    def __init__(self) -> None:
        self._version = 0
        self._there: dict[tuple[Kind, str], Manifest] = {}
        self._documents = PolicyIndex(system_namespace=SYSTEM)
        self.queued: set[str] = set()
        self.moved: list[Any] = []
        context = Context(
            applier=cast(Any, None), metrics=Metrics(), journal=cast(Any, None), system_namespace=SYSTEM
        )
        self.domains = Domains(context, cast(Any, self))
        self._seen = {one.kind: one.seen for one in self.domains.watched}
        self.domains.work_queue.add = lambda key: self.queued.add(key.name)  # type: ignore[method-assign]

    @property
    def policy_index(self) -> PolicyIndex:
        return self._documents

    def show(self, kind: Kind, name: str, /, **content: Any) -> None:
        self._version += 1
        before = self._there.get((kind, name))
        uid = before["metadata"]["uid"] if before is not None else f"uid-{self._version}"
        metadata = {"name": name, "uid": uid, "resourceVersion": str(self._version), "generation": 1}
        if kind is LEASES:
            metadata["namespace"] = SYSTEM
        metadata |= content.pop("metadata", {})
        self._there[kind, name] = {"metadata": metadata, **content}
        self._seen[kind](self._there[kind, name], False)

    def end(self, kind: Kind, name: str) -> None:
        if (kind, name) in self._there:
            self._seen[kind](self._there.pop((kind, name)), True)

    def policy(self, name: str, hash: str) -> None:
        self._version += 1
        document = Document(loop=Loop.POWER, good_hash=hash, policy="polca", fault=None)
        key = Key(SYSTEM, name)
        if self._documents.system.put(key, uid=name, version=str(self._version), fact=document):
            self.moved[0](key, frozenset({Loop.POWER}))

    def plans(self) -> dict[str, Changes]:
        """What each domain's plan is, seen with everything that there is."""
        found = {}
        for domain in self.domains.domains.facts():
            narrow = self.domains._observe(domain)
            whole = Observed(
                system_namespace=SYSTEM,
                domains=tuple(self.domains.domains.facts()),
                nodes=tuple(self.domains.nodes.facts()),
                capacities={one.node: one for one in self.domains.capacities.facts()},
                lease=narrow.lease,
                document=narrow.document,
            )
            found[domain.name] = plan(domain, whole, now=NOON)
            assert plan(domain, narrow, now=NOON) == found[domain.name], domain.name
        return found


def some_labels(chance: Random) -> dict[str, str]:
    return {label: chance.choice("12") for label in LABELS if chance.random() < 0.6}


def some_move(chance: Random) -> Move:
    kind, node, name = chance.choice(KINDS), chance.choice(NODE_NAMES), chance.choice(DOMAINS)
    gone, some = chance.random() < 0.15, [node for node in NODE_NAMES if chance.random() < 0.5]
    match kind:
        case "node":
            return kind, (node, gone, some_labels(chance), chance.random() < 0.8)
        case "domain":
            parent = chance.choice((None, None, *DOMAINS, "missing"))
            budget, created = chance.choice((1000, 6000, 30_000)), chance.choice(("2026-01", "2026-02"))
            return kind, (name, gone, some_labels(chance), parent, budget, created, chance.choice("pq"))
        case "capacity":
            return kind, (node, gone, chance.random() < 0.8, chance.choice((None, *DOMAINS)))
        case "lease":
            return kind, (name, gone, some)
        case "policy":
            return kind, (chance.choice("pq"), chance.choice(("h1", "h2")))
        case _:
            return kind, (name, some)


def move(cluster: Cluster, kind: str, given: tuple[Any, ...]) -> None:
    match kind, given:
        case "policy", (name, hash):
            cluster.policy(name, hash)
        case "status", (name, members):
            raw = cluster._there.get((POWER_DOMAINS, name))
            if raw is not None:
                raw = {**raw, "status": {"members": members}}
                cluster.show(POWER_DOMAINS, name, **raw)
        case "node", (name, False, labels, ready):
            conditions = [{"type": "Ready", "status": str(ready)}]
            cluster.show(NODES, name, metadata={"labels": labels}, status={"conditions": conditions})
        case "domain", (name, False, labels, parent, budget, created, policy):
            spec = {"budgetWatts": budget, "policyRef": {"name": policy}}
            spec |= {"nodeSelector": {"matchLabels": labels}, "hostWatts": {"max": 600}} if labels else {}
            spec |= {"parent": parent} if parent is not None else {}
            head = {"apiVersion": API_VERSION, "kind": "PowerDomain", "spec": spec}
            cluster.show(POWER_DOMAINS, name, metadata={"creationTimestamp": created}, **head)
        case "capacity", (name, False, settable, armed_for):
            conditions = [
                {"type": "LimitsSettable", "status": str(settable), "reason": "Writable"},
                {"type": "Enforcing", "status": str(armed_for is not None), "reason": "ModeEnforce"},
            ]
            gpus = [{"uuid": name, "minWatts": 100, "maxWatts": 400}]
            status = {"domain": armed_for, "gpus": gpus, "conditions": conditions}
            spec = agent_spec()
            cluster.show(NODE_CAPACITIES, name, spec=spec, status=status)
        case "lease", (name, False, candidates):
            annotations = {CANDIDATES_ANNOTATION: ",".join(candidates)}
            metadata = {"annotations": annotations, "labels": {DOMAIN_LABEL: name}}
            cluster.show(LEASES, lease_name(name), metadata=metadata)
        case _, (name, True, *_):
            kinds = {"node": NODES, "domain": POWER_DOMAINS, "capacity": NODE_CAPACITIES, "lease": LEASES}
            cluster.end(kinds[kind], lease_name(name) if kind == "lease" else name)


@given(st.integers(0, 2**32))
def test_what_isnt_planned_anew_would_be_planned_the_same(seed: int) -> None:
    cluster, chance = Cluster(), Random(seed)
    before: dict[str, Changes] = {}
    for _ in range(MOVES):
        cluster.queued.clear()
        kind, given_ = some_move(chance)
        move(cluster, kind, given_)
        after = cluster.plans()
        moved = {name for name, changes in after.items() if changes != before.get(name)}
        assert moved <= cluster.queued, (kind, given_)
        before = after


@pytest.fixture
def rows() -> Cluster:
    """Three rows of two nodes; the first two belong to a feed."""
    cluster = Cluster()
    move(cluster, "domain", ("feed", False, {}, None, 20_000, "2026-01", "p"))
    for row in ("1", "2", "3"):
        parent = "feed" if row != "3" else None
        move(cluster, "domain", (f"row-{row}", False, {"row": row}, parent, 6000, "2026-01", "p"))
        for node in (f"{row}-0", f"{row}-1"):
            move(cluster, "node", (node, False, {"row": row}, True))
            move(cluster, "capacity", (node, False, True, None))
    cluster.queued.clear()
    return cluster


@pytest.mark.parametrize(
    ("kind", "given_", "concerned"),
    [
        ("node", ("1-0", False, {"row": "1"}, False), {"row-1"}),
        ("node", ("1-0", False, {"row": "3"}, True), {"row-1", "row-3"}),
        ("node", ("2-2", False, {"row": "2"}, True), {"row-2"}),
        ("node", ("3-1", True, {}, True), {"row-3"}),
        ("node", ("9-9", False, {"row": "9"}, True), set()),
        ("capacity", ("1-1", False, False, None), {"row-1"}),
        ("lease", ("row-2", False, ["2-0"]), {"row-2"}),
        ("lease", ("another", False, ["2-0"]), set()),
        ("status", ("row-1", ["1-0"]), {"row-1"}),
        ("domain", ("row-1", False, {"row": "1"}, "feed", 7000, "2026-01", "p"), {"row-1", "feed"}),
        ("domain", ("rival", False, {"row": "3"}, None, 7000, "2026-01", "p"), {"row-3", "rival"}),
        ("domain", ("feed", True), {"row-1", "row-2"}),
        ("policy", ("p", "h1"), {"feed", "row-1", "row-2", "row-3"}),
        ("policy", ("q", "h1"), set()),
    ],
)
def test_a_move_concerns_those_whose_plan_looks_at_it(
    rows: Cluster, kind: str, given_: tuple[Any, ...], concerned: set[str]
) -> None:
    move(rows, kind, given_)
    assert rows.queued == concerned


def test_what_no_event_told_concerns_them_too(rows: Cluster) -> None:
    """A watch that begins anew doesn't tell what was deleted meanwhile."""
    table = rows.domains.nodes
    known = table.uids()
    table.forget_missing(known, {key: uid for key, uid in known.items() if key.name != "1-0"})
    assert rows.queued == {"row-1"}
    rows.plans()


def test_a_domain_that_cant_be_read_any_more_concerns_those_that_looked_at_it(rows: Cluster) -> None:
    rows.show(POWER_DOMAINS, "row-1", spec={"budgetWatts": "many"})
    assert "feed" in rows.queued
    rows.plans()
