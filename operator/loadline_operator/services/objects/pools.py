"""
The pools of a service: who serves which phase, how many, spread how, named how.

One pool answers both phases, or a pool of its own does prefill and the main one decodes.
Counts are made here from one number: `replicas` is the main pool's, prefill is fixed or
follows it. Names and labels of everything that belongs to a pool are made here too, so
that workloads, Services, routers and budgets select the same pods.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from loadline_api.inference_services import InferenceService
from loadline_api.names import CATEGORY, MAIN_POOL, POOL_LABEL, PREFILL_POOL, ROUTER_POOL, SERVICE_LABEL
from loadline_api.pools import Parallelism, Prefill, RolloutStrategy
from loadline_api.products import bounded_replicas
from loadline_api.quantities import ratio

ROLLOUT = RolloutStrategy()
"""One more, none less: nobody who asks notices."""

LEADER = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
"""LeaderWorkerSet's own label of a group's first pod, the only one that answers."""


class Phase(Enum):
    """What a pool does of a request."""

    MIXED = "mixed"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Engines alike; `templates` are the service's own, in the order in which they are laid."""

    service: InferenceService
    name: str
    phase: Phase
    replicas: int
    parallelism: Parallelism
    templates: tuple[Mapping[str, Any], ...] = ()

    @property
    def object_name(self) -> str:
        """What the pool's workload is called."""
        return object_name(self.service.metadata.name, self.name)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the pool's pods."""
        return labels_of(self.service.metadata.name, self.name)

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the pods that answer requests: of a group of nodes, its leader."""
        return {**self.labels, **(LEADER if self.spans_nodes else {})}

    @property
    def spans_nodes(self) -> bool:
        """Whether a replica is a group of pods."""
        return self.parallelism.nodes > 1


def pools_of(service: InferenceService) -> tuple[Pool, ...]:
    """The service's pools of engines, the main one first; none for an attached workload."""
    spec = service.spec
    if spec.model is None:
        return ()
    spread = spec.parallelism or Parallelism()
    own = (spec.template,) if spec.template else ()
    main = Pool(
        service=service,
        name=MAIN_POOL,
        phase=Phase.MIXED if spec.prefill is None else Phase.DECODE,
        replicas=bounded_replicas(spec.replicas, nodes=spread.nodes),
        parallelism=spread,
        templates=own,
    )
    if spec.prefill is None:
        return (main,)
    own_spread = spec.prefill.parallelism or spread
    prefill = Pool(
        service=service,
        name=PREFILL_POOL,
        phase=Phase.PREFILL,
        replicas=bounded_replicas(prefill_replicas(spec.prefill, spec.replicas), nodes=own_spread.nodes),
        parallelism=own_spread,
        templates=(*own, *((spec.prefill.template,) if spec.prefill.template else ())),
    )
    return (main, prefill)


def asked_replicas(pool: Pool) -> int:
    """How many replicas of a pool the spec asks for, also where no pool may have so many."""
    spec = pool.service.spec
    if pool.name == MAIN_POOL or spec.prefill is None:
        return spec.replicas
    return prefill_replicas(spec.prefill, spec.replicas)


def prefill_replicas(prefill: Prefill, decode_replicas: int) -> int:
    """How many prefill replicas are asked for with so many of decode; without decode there is none."""
    if decode_replicas == 0:
        return 0
    if prefill.replicas is not None:
        return prefill.replicas
    assert prefill.per_decode is not None, "the API server lets no prefill pass without a size"
    return math.ceil(ratio(prefill.per_decode) * decode_replicas)


def object_name(service: str, pool: str) -> str:
    """The name of a pool's objects: the main pool's is the service's own."""
    return service if pool == MAIN_POOL else f"{service}-{pool}"


def router_name(service: str) -> str:
    """The name of the router's objects."""
    return object_name(service, ROUTER_POOL)


def labels_of(service: str, pool: str) -> dict[str, str]:
    """The labels of a pool's pods, the router's among them."""
    return {SERVICE_LABEL: service, POOL_LABEL: pool}


def described(service: str, pool: str | None = None) -> dict[str, str]:
    """The labels that Kubernetes recommends, for people and their tools; nothing selects by them."""
    return {
        "app.kubernetes.io/name": "vllm-router" if pool == ROUTER_POOL else "vllm",
        "app.kubernetes.io/instance": service,
        **({"app.kubernetes.io/component": pool} if pool else {}),
        "app.kubernetes.io/managed-by": CATEGORY,
    }


def rollout(pool: Pool) -> dict[str, int | str]:
    """How new pods replace old ones, as Deployments and LeaderWorkerSets both write it."""
    strategy = pool.service.spec.rollout_strategy or ROLLOUT
    return {"maxSurge": strategy.max_surge, "maxUnavailable": strategy.max_unavailable}


def scale_selector(service: InferenceService) -> str | None:
    """The pods that `/scale` counts, one a replica of the main pool; None where it isn't ours."""
    pools = pools_of(service)
    return selector_text(pools[0].selector) if pools else None


def selector_text(labels: Mapping[str, str]) -> str:
    """Labels as a selector in one line."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
