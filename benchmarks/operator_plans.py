"""
What one node's move costs the operator that plans a thousand domains.

The controller of PowerDomains gets the events of a whole cluster, as its watches tell them, with an API
server that answers each write at once. Then single objects move: labels, a node that comes, one that
goes, a NodeCapacity. Each move's time on the processor is measured from the event until nothing waits any
more. Beside it, in the same run, every domain is planned once, and planned with everything in view, as
all domains were at each move before: both must find nothing left to write.

    python -m benchmarks.operator_plans [--domains 1000] [--nodes 2000]

Writes benchmarks/results/operator_plans.json, unless it was told less than the full run.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, cast

from benchmarks.result_files import RESULTS, Check, destination, finish, holds, parser, report, took
from loadline_api.names import API_VERSION
from loadline_operator import logs
from loadline_operator.contexts import Context
from loadline_operator.domains.handlers import Domains
from loadline_operator.domains.plan import Observed, plan
from loadline_operator.kube.kinds import NODE_CAPACITIES, NODES, POWER_DOMAINS, Kind, Manifest
from loadline_operator.metrics import Metrics
from loadline_operator.policies.documents import PolicyIndex
from testbed.agent_specs import agent_spec

RESULT = RESULTS / "operator_plans.json"
DOMAINS, NODES_OF_ALL, MOVES, SEED = 1000, 2000, 60, 1
OTHER_LABELS = {f"example.com/label-{index}": "value" for index in range(20)}
"""What nodes have beside the label that selects them."""

GOAL_MS = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds on the processor; `planned` is how many plans were made for the moves."""

    moves: int
    planned: int
    median_ms: float
    worst_ms: float
    every_domain_ms: float
    everything_in_view_ms: float
    nothing_left: bool


class Cluster:
    """The controller, the objects that it is told, and an API server that answers at once."""

    def __init__(self, *, domains: int, nodes: int) -> None:
        self.domain_count, self.node_count, self._version = domains, nodes, 0
        self.there: dict[tuple[Kind, str], Manifest] = {}
        self.policy_index, self.moved = PolicyIndex(system_namespace="loadline-system"), list[Any]()
        context = Context(
            applier=cast(Any, self),
            metrics=Metrics(),
            journal=cast(Any, self),
            system_namespace="loadline-system",
        )
        self.controller = Domains(context, cast(Any, self))
        self._seen = {one.kind: one.seen for one in self.controller.watched}

    def write(self, *_: Any, **__: Any) -> None:
        """Keep no journal."""

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Take a Lease."""
        return self._stored(kind, manifest)

    async def apply_status(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Take the operator's half of a status."""
        before = self.there[kind, manifest["metadata"]["name"]]
        return self._stored(kind, {**before, "status": manifest["status"]})

    async def create_event(self, kind: Kind, manifest: Manifest) -> None:
        """Take an Event."""

    def show(self, kind: Kind, manifest: Manifest) -> None:
        """Tell an object as it is now."""
        self._seen[kind](self._stored(kind, manifest), False)

    def end(self, kind: Kind, name: str) -> None:
        """Tell that an object is gone."""
        self._seen[kind](self.there.pop((kind, name)), True)

    def fill(self) -> None:
        """Tell all objects once: each hundred domains have a parent, and nodes stand in the others."""
        for index in range(self.domain_count):
            self.show(POWER_DOMAINS, _domain(index))
        for index in range(self.node_count):
            self.show(NODES, _node(f"node-{index}", row=index % self.domain_count))
            self.show(NODE_CAPACITIES, _capacity(f"node-{index}"))

    def left(self) -> int:
        """How many domains have something to write, planned with everything in view."""
        controller = self.controller
        whole = Observed(
            system_namespace="loadline-system",
            domains=tuple(controller.domains.facts()),
            nodes=tuple(controller.nodes.facts()),
            capacities={one.node: one for one in controller.capacities.facts()},
            lease=None,
            document=None,
        )
        now, left = controller._context.clock(), 0
        for domain in controller.domains.facts():
            observed = replace(whole, lease=controller._observe(domain).lease)
            left += bool(plan(domain, observed, now=now))
        return left

    def _stored(self, kind: Kind, manifest: Manifest) -> Manifest:
        self._version += 1
        name = manifest["metadata"]["name"]
        kept = {"uid": f"uid-{name}", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
        metadata = {**kept, **manifest["metadata"], "resourceVersion": str(self._version)}
        self.there[kind, name] = {**manifest, "metadata": metadata}
        return self.there[kind, name]


def measured(*, domains: int = DOMAINS, nodes: int = NODES_OF_ALL, moves: int = MOVES) -> Figures:
    """What moves cost a controller of so many domains and nodes."""
    return asyncio.run(_measured(Cluster(domains=domains, nodes=nodes), moves))


async def _measured(cluster: Cluster, moves: int) -> Figures:
    queue, planned = cluster.controller.work_queue, 0
    reconcile = cluster.controller.reconcile

    async def counted(key: Any) -> None:
        nonlocal planned
        planned += 1
        await reconcile(key)

    queue._reconcile = counted
    working = asyncio.create_task(queue.run())
    await queue.open()
    cluster.fill()
    await queue.idle()
    planned, costs_ms = 0, []
    for tell, given in _moves(cluster, moves):
        began_s = time.process_time()
        tell(*given)
        await queue.idle()
        costs_ms.append(1000 * (time.process_time() - began_s))
    of_moves, began_s = planned, time.process_time()
    left = cluster.left()  # before anything else is planned that a move may have left out
    whole_ms = 1000 * (time.process_time() - began_s)
    began_s = time.process_time()
    cluster.controller.wake()
    await queue.idle()
    every_ms = 1000 * (time.process_time() - began_s)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return Figures(
        moves=len(costs_ms),
        planned=of_moves,
        median_ms=statistics.median(costs_ms),
        worst_ms=max(costs_ms),
        every_domain_ms=every_ms,
        everything_in_view_ms=whole_ms,
        nothing_left=left == 0,
    )


def _moves(cluster: Cluster, count: int) -> Iterator[tuple[Callable[..., None], tuple[Any, ...]]]:
    """So many moves, of each kind as many: what tells them, and of what."""
    chance = Random(SEED)
    for index in range(count):
        node, row = f"node-{chance.randrange(cluster.node_count)}", chance.randrange(cluster.domain_count)
        match index % 4:
            case 0:
                yield cluster.show, (NODES, _node(node, row=row))
            case 1:
                yield cluster.show, (NODES, _node(f"new-{index}", row=row))
            case 2:
                yield cluster.end, (NODES, f"new-{index - 1}")
            case _:
                yield cluster.show, (NODE_CAPACITIES, _capacity(node, max_watts=chance.randrange(300, 700)))


def _domain(index: int) -> Manifest:
    spec: dict[str, Any] = {"budgetWatts": 1_000_000}
    if index % 100:
        spec |= {"nodeSelector": {"matchLabels": {"row": str(index)}}, "hostWatts": {"max": 1000}}
        spec |= {"parent": f"domain-{index - index % 100}", "budgetWatts": 10_000}
    return {
        "apiVersion": API_VERSION,
        "kind": "PowerDomain",
        "metadata": {"name": f"domain-{index}"},
        "spec": spec,
    }


def _node(name: str, *, row: int) -> Manifest:
    conditions = [{"type": "Ready", "status": "True"}]
    labels = {"row": str(row), **OTHER_LABELS}
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


def _capacity(name: str, *, max_watts: int = 700) -> Manifest:
    conditions = [{"type": "LimitsSettable", "status": "True", "reason": "Writable"}]
    gpus = [{"uuid": f"{name}-{index}", "minWatts": 200, "maxWatts": max_watts} for index in range(8)]
    return {
        "metadata": {"name": name},
        "spec": agent_spec(),
        "status": {"hostMaxWatts": 1000, "gpus": gpus, "conditions": conditions},
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a goal was missed."""
    options = parser("benchmarks.operator_plans", __doc__)
    options.add_argument("--domains", type=int, default=DOMAINS, help="how many (%(default)s)")
    options.add_argument("--nodes", type=int, default=NODES_OF_ALL, help="how many (%(default)s)")
    given = options.parse_args(arguments)
    whole = given.domains >= DOMAINS and given.nodes >= NODES_OF_ALL
    kept = destination(RESULT, writes=whole and not given.dirty)
    logs.configure("warning")
    figures = measured(domains=given.domains, nodes=given.nodes)
    return finish(_report(figures, given.domains, given.nodes), kept)


def checks(figures: Figures) -> tuple[Check, ...]:
    """What is to be kept."""
    return (
        took("operator_plan_ms", figures.median_ms, goal=GOAL_MS, reason="a move costs the loop too much"),
        took("operator_plan_worst_ms", figures.worst_ms, goal=GOAL_MS, reason="one move does"),
        holds(
            "nothing_left", value=figures.nothing_left, reason="a domain wasn't planned that a move concerns"
        ),
    )


def _report(figures: Figures, domains: int, nodes: int) -> dict[str, Any]:
    return report(
        "operator_plans",
        inputs={"domains": domains, "nodes": nodes, "moves": figures.moves},
        seeds=[SEED],
        results={
            "plans_per_move": figures.planned / figures.moves,
            "every_domain_ms": figures.every_domain_ms,
            "everything_in_view_ms": figures.everything_in_view_ms,
        },
        checks=checks(figures),
    )


if __name__ == "__main__":
    sys.exit(main())
