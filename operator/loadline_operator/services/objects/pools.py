"""
The groups of pods that a service is made of: who serves which phase, how many, spread how, named how.

One pool answers both phases, or a pool of its own does prefill and the main one decodes.
Counts are made here from one number: `replicas` is the main pool's, prefill is fixed or
follows it. Names and labels of everything that belongs to a group are made here too. Which
groups a service has is worked out in `descriptions`, once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.names import CATEGORY, MAIN_POOL, POOL_LABEL, ROUTER_POOL, SERVICE_LABEL
from loadline_api.pools import Parallelism, Prefill, RolloutStrategy
from loadline_api.quantities import ratio
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Key, Kind
from loadline_operator.services.objects.engine_traits import EngineTraits

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
class Group:
    """Pods alike of one service, under one workload: a pool of engines, or the routers."""

    namespace: str
    service: str
    name: str
    replicas: int

    @property
    def key(self) -> Key:
        """What the group's objects are called; the main pool's have the service's own name."""
        return Key(self.namespace, self.service if self.name == MAIN_POOL else f"{self.service}-{self.name}")

    @property
    def kind(self) -> Kind:
        return DEPLOYMENTS

    @property
    def labels(self) -> dict[str, str]:
        return {SERVICE_LABEL: self.service, POOL_LABEL: self.name}

    @property
    def selector(self) -> dict[str, str]:
        """Labels of those of its pods that answer, one a replica."""
        return self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Group):
    """Engines alike; `templates` are the cluster's and the service's, in the order in which they are laid.

    `asked` is how many replicas the spec asks for, also where no pool may have so many.
    """

    asked: int
    phase: Phase
    parallelism: Parallelism
    engine: EngineTraits
    templates: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> Kind:
        """A replica over several nodes is a group of pods."""
        return LEADER_WORKER_SETS if self.spans_nodes else DEPLOYMENTS

    @property
    def selector(self) -> dict[str, str]:
        """Of a group of nodes its leader answers."""
        return {**self.labels, **(LEADER if self.spans_nodes else {})}

    @property
    def spans_nodes(self) -> bool:
        """Whether a replica is a group of pods."""
        return self.parallelism.nodes > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Routers(Group):
    """The routers before the pools; `templates` as those of a pool."""

    port: int
    templates: tuple[Mapping[str, Any], ...] = ()


def prefill_replicas(prefill: Prefill, decode_replicas: int) -> int:
    """How many prefill replicas are asked for with so many of decode; without decode there is none."""
    if decode_replicas == 0:
        return 0
    if prefill.replicas is not None:
        return prefill.replicas
    assert prefill.per_decode is not None, "the API server lets no prefill pass without a size"
    return math.ceil(ratio(prefill.per_decode) * decode_replicas)


def recommended(service: str, pool: str | None = None) -> dict[str, str]:
    """The labels that Kubernetes recommends, for people and their tools; nothing selects by them."""
    return {
        "app.kubernetes.io/name": "vllm-router" if pool == ROUTER_POOL else "vllm",
        "app.kubernetes.io/instance": service,
        **({"app.kubernetes.io/component": pool} if pool else {}),
        "app.kubernetes.io/managed-by": CATEGORY,
    }


def rollout(spec: InferenceServiceSpec) -> dict[str, int | str]:
    """How new pods replace old ones, as Deployments and LeaderWorkerSets both write it."""
    strategy = spec.rollout_strategy or ROLLOUT
    return {"maxSurge": strategy.max_surge, "maxUnavailable": strategy.max_unavailable}


def selector_text(labels: Mapping[str, str]) -> str:
    """Labels as a selector in one line."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
