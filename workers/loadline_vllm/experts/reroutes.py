"""
Token reroute: a pair that its expert can't keep is offered to the token's next best expert.

In each round a token proposes to its best experts among those that haven't rejected it, and each expert
keeps the best proposals that fit. This is deferred acceptance: what an expert keeps only gets better,
and no token ends with more than K pairs, so the volume of an all-to-all can't grow. One round is token
drop.

A token prefers experts by the router's own selection, with its bias and its groups; an expert prefers
tokens by their priority, which is unbiased. At most K experts reject a token in a round, so one top-k in
advance finds the candidates of all rounds.

Source: the paper's first version. The published version calls the rounds too slow, and has `expansions`
instead.
"""

import torch
from torch import Tensor

from loadline_vllm.experts import positions
from loadline_vllm.experts.priorities import Ranking, priorities
from loadline_vllm.experts.routings import NEVER, Capped, Chosen, made_weights, refilled


def reroute(
    own: Chosen,
    *,
    scores: Tensor,
    selection: Tensor,
    ranking: Ranking,
    capacities: Tensor,
    rounds: Tensor,
    most_rounds: int,
) -> Capped:
    """The pairs after `rounds` rounds, of which the trace has `most_rounds`.

    `scores` [T, E] are unbiased; `selection` [T, E] is what the router chooses by, NEVER outside of the
    groups that it allows a token. The router's own choice is the first proposal, whatever `selection` says.
    """
    others, possible = _next_best(own, selection, most=own.experts.shape[1] * (most_rounds - 1))
    experts = torch.cat((own.experts, others), dim=1)
    ranked = priorities(scores.gather(1, experts), experts, ranking)
    slots = own.offered.sum(1, keepdim=True)
    open_ = torch.cat((own.offered, possible), dim=1)
    kept = open_
    for done in range(1, most_rounds + 1):
        proposed = open_ & (open_.cumsum(1) <= slots)
        kept = _kept(experts, ranked, proposed, own=own, capacities=capacities)
        open_ = open_ & ~(proposed & ~kept & (rounds > done))
    return refilled(
        own,
        kept[:, : own.experts.shape[1]],
        others=others,
        weights=made_weights(own, scores, others),
        others_kept=kept[:, own.experts.shape[1] :],
    )


def _next_best(own: Chosen, selection: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
    """The token's best experts beside its own, the best first, and which of them it may have."""
    left = selection.scatter(1, own.experts, NEVER)
    best = left.topk(min(most, left.shape[1] - own.experts.shape[1]), dim=1)
    return best.indices, (best.values > NEVER) & own.offered.any(1, keepdim=True)


def _kept(experts: Tensor, ranked: Tensor, proposed: Tensor, *, own: Chosen, capacities: Tensor) -> Tensor:
    """Which proposals are kept; only the K columns of a token that propose are sorted."""
    slots = own.experts.shape[1]
    target = torch.where(proposed, proposed.cumsum(1) - 1, slots)
    columns = torch.arange(experts.shape[1], device=experts.device).expand_as(experts)
    proposing = columns.new_zeros((experts.shape[0], slots + 1)).scatter(1, target, columns)[:, :slots]
    fit = positions.kept(
        experts.gather(1, proposing),
        ranked.gather(1, proposing),
        offered=torch.arange(slots, device=experts.device) < proposed.sum(1, keepdim=True),
        capacities=capacities,
    )
    return torch.cat((fit, torch.zeros_like(fit[:, :1])), dim=1).gather(1, target)
