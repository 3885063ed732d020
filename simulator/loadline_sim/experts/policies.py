"""
The cache policies of the study, each as data: a rule of eviction, how slots are shared out, what is
predicted, and whether it is loaded in advance.

A policy that can't be built for the model at hand says so in `needs`. Belady's with all known can't
be built at all; it is the bound that the others are compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.experts import caches
from loadline_sim.experts.caches import Pools, Replay
from loadline_sim.experts.decode_steps import Accesses


class Sharing(StrEnum):
    """How slots are shared out among the layers."""

    NONE = "slots shared by all layers"
    EVEN = "as many slots for each layer"
    DEMAND = "slots for each layer by its demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A cache policy. With `queued`, Belady's knows the queued tokens only.

    `needs` says what it takes; `buildable` is false for bounds, and for what takes another kind of model.
    """

    name: str
    title: str
    rule: int
    sharing: Sharing = Sharing.NONE
    queued: bool = False
    predictor: str | None = None
    prefetching: bool = False
    source: str = ""
    needs: str = ""
    buildable: bool = True


BOUND = "belady"

POLICIES = (
    Policy(
        name=BOUND, title="Belady, all known", rule=caches.BELADY,
        source="Belady 1966", needs="the whole future: a bound, no policy",
        buildable=False,
    ),
    Policy(
        name="belady-queued", title="Belady, queued tokens known", rule=caches.BELADY, queued=True,
        source="Read-ME", needs="tokens known beforehand, and one router that runs before all layers",
        buildable=False,
    ),
    Policy(name="lru", title="LRU", rule=caches.LRU),
    Policy(name="lfu", title="LFU", rule=caches.LFU),
    Policy(name="lru-layers", title="LRU in each layer", rule=caches.LRU, sharing=Sharing.EVEN),
    Policy(
        name="plec-demand", title="PLEC, without prefetch", rule=caches.PLEC, sharing=Sharing.DEMAND,
        predictor="linear", source="ExpertFlow", needs="a predictor",
    ),
    Policy(
        name="plec", title="PLEC", rule=caches.PLEC, sharing=Sharing.DEMAND, predictor="linear",
        prefetching=True, source="ExpertFlow", needs="a predictor, a copy stream",
    ),
    Policy(
        name="lru-coactivation", title="LRU in each layer, prefetch by co-activation", rule=caches.LRU,
        sharing=Sharing.EVEN, predictor="co-activation", prefetching=True, source="EdgeMoE",
        needs="a profile of co-activation, a copy stream",
    ),
    Policy(
        name="lru-linear", title="LRU in each layer, prefetch by predictor", rule=caches.LRU,
        sharing=Sharing.EVEN, predictor="linear", prefetching=True, source="ExpertFlow",
        needs="a predictor, a copy stream",
    ),
    Policy(
        name="plec-perfect", title="PLEC, perfect predictor", rule=caches.PLEC, sharing=Sharing.DEMAND,
        predictor="perfect", prefetching=True, needs="the next layer's routing: a bound, no policy",
        buildable=False,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the policies are asked for, and what they may know.

    `predicted` has by predictor what `predictors.predicted_keys` returns. `layer_demand` weighs the
    layers where slots are shared out by demand. `queued_until` is the first access of each group that
    lies beyond the queued tokens.
    """

    accesses: Accesses
    predicted: Mapping[str, Ints]
    layer_demand: Floats
    queued_until: Ints


def run(policy: Policy, workload: Workload, *, slots: int, transfer_s: float, layer_s: float) -> Replay:
    """Replay the workload under a policy, with so many slots in all; at least one for each layer."""
    return caches.replay(
        workload.accesses,
        pools_of(policy.sharing, workload, slots),
        rule=policy.rule,
        known_until=workload.queued_until if policy.queued else None,
        predicted=workload.predicted[policy.predictor] if policy.predictor else None,
        prefetching=policy.prefetching,
        transfer_s=transfer_s,
        layer_s=layer_s,
    )


def pools_of(sharing: Sharing, workload: Workload, slots: int) -> Pools:
    """The pools in which a policy keeps its experts."""
    layers, experts = workload.accesses.layers, workload.accesses.experts
    if sharing is Sharing.NONE:
        return caches.shared(slots, layers=layers, experts=experts)
    weights = workload.layer_demand if sharing is Sharing.DEMAND else np.ones(layers)
    return caches.by_layer(shared_out(slots, weights, most=experts), experts=experts)


def shared_out(slots: int, weights: Floats, *, most: int) -> Ints:
    """Slots in proportion to weights, for each layer one at least and `most` at most.

    The next slot goes to the layer with the largest weight per slot, so that with more slots in all no
    layer has fewer.
    """
    shares = np.ones(weights.size, dtype=np.int64)
    for _ in range(min(slots, most * weights.size) - weights.size):
        shares[np.where(shares < most, weights / shares, -np.inf).argmax()] += 1
    return shares


def layer_demand(accesses: Accesses, *, window: int) -> Floats:
    """By layer: the mean number of distinct experts that `window` steps need."""
    group = np.repeat(np.arange(accesses.group_starts.size - 1), np.diff(accesses.group_starts))
    windows = -(-accesses.steps // window)
    cells = np.unique((group // accesses.layers // window) * accesses.model_experts + accesses.key)
    layer = cells % accesses.model_experts // accesses.experts
    return np.bincount(layer, minlength=accesses.layers) / windows


def queued_until(accesses: Accesses, *, queued: int) -> Ints:
    """For each group the first access beyond its own step and the `queued` steps after it."""
    groups = accesses.group_starts.size - 1
    ends = (np.arange(groups) // accesses.layers + 1 + queued) * accesses.layers
    return np.asarray(accesses.group_starts[np.minimum(ends, groups)], dtype=np.int64)
