"""
What a model's router chooses by, computed from its logits as vLLM's routers compute it.

Routers return the experts that they chose and the weights, and neither the scores of the other experts nor
which of them a token might have had. Both are needed to bound experts: an expert keeps its best pairs by
score, and a pair that it can't keep is offered to an expert that the router allows. So the scores are
computed again, here for the scoring functions, biases and groups that the probe lets through.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from loadline_vllm.experts.routings import NEVER


class RouterRule(NamedTuple):
    """How a router scores, and what it chooses among."""

    scoring: str
    bias: Tensor | None = None
    """Added to the scores for the choice, and not to the weights."""

    groups: int = 1
    top_groups: int = 1
    """The experts of so many groups are open to a token."""


def rule_of(router: Any, *, experts: int) -> RouterRule:
    """The rule of one of vLLM's routers."""
    bias = getattr(router, "e_score_correction_bias", None)
    groups = getattr(router, "num_expert_group", None) or 1
    if not getattr(router, "use_grouped_topk", True):  # vLLM's router on a CPU, which has all attributes
        return RouterRule(router.scoring_func)
    if groups >= experts or experts % groups:
        groups = 1
    return RouterRule(router.scoring_func, bias, groups, router.topk_group if groups > 1 else 1)


def scores_of(logits: Tensor, rule: RouterRule) -> Tensor:
    """The scores [T, E] without bias."""
    wide = logits.to(torch.float32)
    return wide.sigmoid() if rule.scoring == "sigmoid" else wide.softmax(dim=-1)


def selection_of(scores: Tensor, rule: RouterRule) -> Tensor:
    """What the router chooses by [T, E]: with bias, and NEVER outside of the token's groups."""
    biased = scores if rule.bias is None else scores + rule.bias.to(torch.float32)
    if rule.groups == 1:
        return biased
    grouped = biased.unflatten(1, (rule.groups, -1))
    best = grouped.amax(2) if rule.bias is None else grouped.topk(2, dim=2).values.sum(2)
    chosen = best.topk(rule.top_groups, dim=1).indices
    open_ = torch.zeros_like(best, dtype=torch.bool).scatter(1, chosen, True)
    return torch.where(open_.unsqueeze(2), grouped, NEVER).flatten(1)
