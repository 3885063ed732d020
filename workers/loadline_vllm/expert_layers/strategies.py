"""
What each strategy leaves of one batch of one layer, given the settings as tensors.

The algorithms are those of `loadline_vllm.experts`; here they get what a layer of vLLM has: the placement of
its experts, the scores that its router computed, and the capacities that follow from γ.
"""

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_vllm.expert_layers.layer_placements import LayerPlacement
from loadline_vllm.expert_layers.selections import RouterRule, selection_of
from loadline_vllm.experts import counters
from loadline_vllm.experts.capacities import capacities, real_tokens
from loadline_vllm.experts.drops import device_drop, threshold_drop, token_drop
from loadline_vllm.experts.expansions import expanded_drop
from loadline_vllm.experts.priorities import Ranking, priorities
from loadline_vllm.experts.reroutes import reroute
from loadline_vllm.experts.routings import Capped, Chosen, capped

NO_EXCESS = -(2**62)
"""Of a batch that has no capacity to exceed."""


class Strategy(IntEnum):
    """`ExpertsSettings.strategy` as a number, which a tensor can hold.

    Dropping is rerouting with one round.
    """

    DROP = 0
    REROUTE = 0
    RANK_DROP = 1
    EXPANDED = 2
    THRESHOLD = 3


class Batch(NamedTuple):
    """What a strategy is computed from; `gamma` and `min_tokens` are tensors."""

    own: Chosen
    scores: Tensor
    rule: RouterRule
    ranking: Ranking
    placement: LayerPlacement
    gamma: Tensor
    min_tokens: Tensor

    @property
    def own_scores(self) -> Tensor:
        """The score of each pair that the router chose."""
        return self.scores.gather(1, self.own.experts)

    @property
    def is_bounded(self) -> Tensor:
        """Whether capacities are in force, and the batch is large enough for them."""
        tokens = real_tokens(self.own.offered)
        return (self.gamma < UNBOUNDED_THOUSANDTHS) & (tokens >= self.min_tokens) & (tokens > 0)

    def priorities(self) -> Tensor:
        """The priority of each pair that the router chose."""
        return priorities(self.own_scores, self.own.experts, self.ranking)

    def capacities(self, slots: Tensor, *, most_per_token: int = 1) -> Tensor:
        """The capacity of each expert or rank, by its number of physical experts."""
        return capacities(
            slots,
            gamma_thousandths=self.gamma,
            tokens=real_tokens(self.own.offered),
            top_k=self.own.experts.shape[1],
            most_per_token=most_per_token,
            min_tokens=self.min_tokens,
        )


class Bounded(NamedTuple):
    """What is left, and by how many pairs the fullest expert, or rank, exceeds its capacity."""

    left: Capped
    excess: Tensor


def by_expert(batch: Batch, *, rounds: Tensor, most_rounds: int) -> Bounded:
    """Drop what exceeds an expert's capacity, or reroute it in `rounds` rounds, at most `most_rounds`."""
    bounds = batch.capacities(batch.placement.replicas)
    if most_rounds == 1:
        left = token_drop(batch.own, batch.priorities(), capacities=bounds)
    else:
        left = reroute(
            batch.own,
            scores=batch.scores,
            selection=selection_of(batch.scores, batch.rule),
            ranking=batch.ranking,
            capacities=bounds,
            rounds=rounds,
            most_rounds=most_rounds,
        )
    return _compared(left, left.experts, bounds)


def by_rank(batch: Batch) -> Bounded:
    """Drop what exceeds the capacity of a rank."""
    shares, slots = batch.placement.shares, batch.own.experts.shape[1]
    ranks = shares.argmax(0)
    bounds = batch.capacities((shares > 0).sum(1), most_per_token=slots)
    left = device_drop(batch.own, batch.priorities(), devices=ranks, capacities=bounds)
    return _compared(left, ranks[left.experts], bounds)


def expanded(batch: Batch, *, local: Tensor) -> Bounded:
    """Drop what exceeds an expert's capacity, and fill what is left of it with pairs at `local` experts.

    A batch that isn't bounded is taken as it is: without a capacity each token would get the best experts by
    the scores computed here, and two of them may be in another order by the router's own.
    """
    bounds = batch.capacities(batch.placement.replicas)
    left = expanded_drop(
        batch.own,
        scores=batch.scores,
        selection=selection_of(batch.scores, batch.rule),
        ranking=batch.ranking,
        capacities=bounds,
        local=local,
    )
    untouched = Bounded(capped(batch.own, batch.own.offered), torch.full_like(batch.gamma, NO_EXCESS))
    return selected(batch.is_bounded, _compared(left, left.experts, bounds), untouched)


def by_thresholds(batch: Batch, *, thresholds: Tensor) -> Bounded:
    """Drop the pairs whose score doesn't reach the threshold of their expert, in a batch of any size."""
    left = threshold_drop(batch.own, batch.own_scores, thresholds=thresholds)
    return Bounded(left, torch.full_like(batch.gamma, NO_EXCESS))


def selected(condition: Tensor, one: Bounded, other: Bounded) -> Bounded:
    """`one` where the condition holds, else `other`."""
    left = Capped(*(torch.where(condition, a, b) for a, b in zip(one.left, other.left, strict=True)))
    return Bounded(left, torch.where(condition, one.excess, other.excess))


def _compared(left: Capped, buckets: Tensor, bounds: Tensor) -> Bounded:
    kept = counters.loads(buckets, left.kept, count=bounds.shape[0])
    return Bounded(left, (kept - bounds).max())
