"""
What a router chose for a batch, and what is left of it under a capacity.

A model's own router stays in force: its experts and its weights are taken as they are, a dropped pair
gets the weight 0, and nothing else changes. Only where a pair goes to an expert that the router didn't
choose must a weight be made: the expert's score, scaled as the router scaled the token's own scores.
That holds for each router whose weights are proportional to its scores, renormalised or not.

Padding is inert: a row whose ids are negative or that is not `real` offers nothing, takes no capacity
and counts nowhere.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -math.inf
"""What a router's selection is for an expert that it may not choose for a token."""


class Chosen(NamedTuple):
    """The pairs that a model's router chose, [T, K] each. Of padding, `experts` is some valid id."""

    experts: Tensor
    weights: Tensor
    offered: Tensor


class Capped(NamedTuple):
    """What is left under a capacity, [T, K] each: of what isn't `kept` the weight is 0.

    The expert of a pair that isn't kept is the one that the router chose; `dropped_slots` says what
    kernels must get instead. A slot is `dropped` if the router filled it and no expert keeps it.
    """

    experts: Tensor
    weights: Tensor
    kept: Tensor
    dropped: Tensor


def chosen(ids: Tensor, weights: Tensor, *, experts: int, real: Tensor | None = None) -> Chosen:
    """The router's answer, with padding and whatever is no id of an expert taken out of the offer."""
    offered = (ids >= 0) & (ids < experts)
    if real is not None:
        offered = offered & real.unsqueeze(1)
    return Chosen(ids.to(torch.int64).clamp(0, experts - 1), weights, offered)


def capped(own: Chosen, kept: Tensor) -> Capped:
    """The router's pairs that are kept, in their slots."""
    return Capped(
        experts=own.experts,
        weights=torch.where(kept, own.weights, 0.0),
        kept=kept,
        dropped=own.offered & ~kept,
    )


def refilled(own: Chosen, kept: Tensor, *, others: Tensor, weights: Tensor, others_kept: Tensor) -> Capped:
    """The router's pairs that are kept, in their slots, and pairs at `others` [T, M] in the free slots.

    At most K pairs of a token may be kept in all.
    """
    slots = own.experts.shape[1]
    free = own.offered & ~kept
    columns = torch.arange(slots, device=free.device).expand_as(free)
    free_columns = columns.new_full((free.shape[0], slots + 1), slots)
    free_columns = free_columns.scatter(1, torch.where(free, free.cumsum(1) - 1, slots), columns)
    rank = (others_kept.cumsum(1) - 1).clamp(0, slots)
    target = torch.where(others_kept, free_columns.gather(1, rank), slots)
    left = capped(own, kept)

    def put(into: Tensor, values: Tensor) -> Tensor:
        return torch.cat((into, into[:, :1]), dim=1).scatter(1, target, values)[:, :slots]

    filled = put(left.kept, others_kept)
    return Capped(
        experts=put(left.experts, others),
        weights=put(left.weights, weights.to(left.weights.dtype)),
        kept=filled,
        dropped=own.offered & ~filled,
    )


def made_weights(own: Chosen, scores: Tensor, experts: Tensor) -> Tensor:
    """The weights that the router would have given to `experts` [T, M], by its `scores` [T, E]."""
    total = scores.gather(1, own.experts).sum(1, keepdim=True)
    scale = torch.where(total > 0, own.weights.sum(1, keepdim=True) / total, 0.0)
    return scale * scores.gather(1, experts)


def renormalised(left: Capped, own: Chosen) -> Capped:
    """As `left`, with the weights of each token scaled to the sum that the router gave it.

    The model never saw a smaller sum in training; a larger share for the survivors neither. A token
    that lost all of its experts keeps the sum 0.
    """
    total = left.weights.sum(1, keepdim=True)
    scale = torch.where(total > 0, own.weights.sum(1, keepdim=True) / total, 0.0)
    return left._replace(weights=left.weights * scale)
