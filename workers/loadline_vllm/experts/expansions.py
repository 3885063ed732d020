"""
Expanded drop: the experts of a token's own device are candidates too.

A pair at such an expert needs no message to another device, so it may take room that is left there. A
token's candidates are its own K experts and all local ones; each expert keeps its best candidates that
fit, and then each token its best K. So the output is as wide as the router's. The paper reports 0.1 to
0.2 points less on its benchmarks for this than for no bound by token («w/ max» against «w/o max»), and
kernels with a static width need it.

As in the official code, and other than in the paper's text, a local candidate may displace a pair of
lower priority that another token's router chose.

Source: the paper, «Expanded Drop» and its Table 11.
"""

import torch
from torch import Tensor

from loadline_vllm.experts import positions
from loadline_vllm.experts.priorities import Ranking, priorities
from loadline_vllm.experts.routings import NEVER, Capped, Chosen, made_weights, refilled


def expanded_drop(
    own: Chosen,
    *,
    scores: Tensor,
    selection: Tensor,
    ranking: Ranking,
    capacities: Tensor,
    local: Tensor,
) -> Capped:
    """Each expert's best candidates, then each token's best K of them, by `selection`.

    `local` [L] has the ids of the device's own experts. `scores` and `selection` are as in `reroute`.
    """
    slots = own.experts.shape[1]
    experts, kept = kept_candidates(
        own, scores=scores, selection=selection, ranking=ranking, capacities=capacities, local=local
    )
    kept = kept & _best(torch.where(kept, selection.gather(1, experts), NEVER), own.offered)
    others = experts[:, slots:]
    return refilled(
        own,
        kept[:, :slots],
        others=others,
        weights=made_weights(own, scores, others),
        others_kept=kept[:, slots:],
    )


def kept_candidates(
    own: Chosen,
    *,
    scores: Tensor,
    selection: Tensor,
    ranking: Ranking,
    capacities: Tensor,
    local: Tensor,
) -> tuple[Tensor, Tensor]:
    """The candidates [T, K + L], a token's own first, and those that experts keep («w/o max»)."""
    others = local.to(torch.int64).expand(own.experts.shape[0], -1)
    experts = torch.cat((own.experts, others), dim=1)
    own_ones = torch.zeros_like(selection, dtype=torch.bool).scatter(1, own.experts, own.offered)
    possible = (selection > NEVER) & ~own_ones & own.offered.any(1, keepdim=True)
    offered = torch.cat((own.offered, possible.gather(1, others)), dim=1)
    ranked = priorities(scores.gather(1, experts), experts, ranking)
    return experts, positions.kept(experts, ranked, offered=offered, capacities=capacities)


def _best(preferences: Tensor, offered: Tensor) -> Tensor:
    """The mask of each token's highest preferences, as many as the router filled slots; ties: the first."""
    order = preferences.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(order.shape[1], device=order.device) < offered.sum(1, keepdim=True)
    return torch.empty_like(first).scatter_(1, order, first)
