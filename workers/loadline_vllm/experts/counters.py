"""
What a batch's routing costs, counted on the device and read by nobody until it is asked for.

From the loads of the experts alone follows how full the fullest expert and the fullest rank are, and,
for each γ of a grid, how many pairs a capacity would drop and how full the fullest rank would be then.
No output of the model is touched for it. Counts of batches may be added: dropped pairs and the fullest
rank don't follow from summed loads, so they are counted batch by batch.

`loadline_policies.experts.shadow_tables` makes the table of the sums, and has the same arithmetic for
readers that have loads and no torch. Source: the paper's equation 11, with its γ·N̄ rounded up.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from loadline_vllm.experts import capacities
from loadline_vllm.experts.routings import Capped, Chosen


class Observed(NamedTuple):
    """Sums over batches of one layer; a batch without a real token adds nothing."""

    loads: Tensor
    """Offered pairs by expert [E]."""

    batches: Tensor
    """Batches with at least one real token."""

    expert_most: Tensor
    """The offered load of the fullest expert."""

    rank_most: Tensor
    """The offered load of the fullest rank; the replicas of an expert share its load evenly."""

    dropped: Tensor
    """For each γ of the grid [G], the pairs above the capacities: what token drop would drop."""

    capped_rank_most: Tensor
    """For each γ of the grid [G], the load of the fullest rank without those pairs."""


class Outcome(NamedTuple):
    """What a capacity did to a batch, in pairs and in tokens."""

    dropped: Tensor
    rerouted: Tensor
    """Pairs at an expert that the router didn't choose for the slot."""

    without_expert: Tensor
    """Tokens that lost all of their experts, and pass on what the layer got."""


def loads(experts: Tensor, counted: Tensor, *, count: int) -> Tensor:
    """How many of the `counted` pairs are at each of `count` experts."""
    empty = torch.zeros(count, dtype=torch.int64, device=experts.device)
    return empty.scatter_add_(0, experts.reshape(-1), counted.reshape(-1).to(torch.int64))


def observed(own: Chosen, *, shares: Tensor, replicas: Tensor, grid_thousandths: Tensor) -> Observed:
    """The counts of one batch.

    `shares` [R, E] has the share of each expert's load that falls to each rank, as float64; `replicas`
    [E] and `grid_thousandths` [G] are integers.
    """
    offered = loads(own.experts, own.offered, count=replicas.shape[0])
    tokens = capacities.real_tokens(own.offered)
    bounds = capacities.capacities(
        replicas, gamma_thousandths=grid_thousandths.unsqueeze(1), tokens=tokens, top_k=own.experts.shape[1]
    )
    within = torch.minimum(offered, bounds)
    return Observed(
        loads=offered,
        batches=(tokens > 0).to(torch.int64),
        expert_most=offered.max(),
        rank_most=(shares @ offered.to(shares.dtype)).max(),
        dropped=(offered - within).sum(1),
        capped_rank_most=(within.to(shares.dtype) @ shares.T).amax(1),
    )


def outcome(own: Chosen, left: Capped) -> Outcome:
    """What became of the pairs that a router chose."""
    return Outcome(
        dropped=left.dropped.sum(),
        rerouted=(left.kept & (left.experts != own.experts)).sum(),
        without_expert=(own.offered.any(1) & ~left.kept.any(1)).sum(),
    )
