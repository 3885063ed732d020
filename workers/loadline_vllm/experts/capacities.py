"""
How many pairs of a batch an expert, or a device, may compute.

The capacity is γ times the mean load of a physical expert, times the expert's replicas, rounded up.
γ is an integer in thousandths, because a float rounds 1.1 × 50 up to 56: with integers the capacity
is exact, and the same on every rank of an expert-parallel group. `loadline_policies.experts.capacities`
is the same arithmetic for readers that have no torch.
"""

import torch
from torch import Tensor


def capacities(
    slots: Tensor,
    *,
    gamma_thousandths: Tensor,
    tokens: Tensor,
    top_k: int,
    most_per_token: int = 1,
    min_tokens: Tensor | None = None,
) -> Tensor:
    """The capacity of each expert: ⌈γ · tokens · top_k · slots ÷ all slots⌉, at least 1, at most `tokens`.

    `slots` [E] has the number of each expert's replicas. For devices it has the number of physical
    experts of each, and `most_per_token` is `top_k`, since a token may send all its pairs to one device.
    `tokens` counts real tokens only (`real_tokens`). A batch of fewer than `min_tokens` is not bounded.
    All tensors hold integers.
    """
    whole = 1000 * slots.sum()
    ceiling = (gamma_thousandths * tokens * top_k * slots + whole - 1) // whole
    most = tokens * most_per_token
    bounded = torch.minimum(ceiling.clamp(min=1), most)
    return bounded if min_tokens is None else torch.where(tokens < min_tokens, most, bounded)


def real_tokens(offered: Tensor) -> Tensor:
    """How many tokens of a batch are real, given the mask of its offered pairs."""
    return offered.any(1).sum()
