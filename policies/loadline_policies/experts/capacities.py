"""
How many pairs of a batch an expert may compute: γ times the mean load, rounded up.

γ is an integer in thousandths, so that the capacity is exact. A float rounds 1.1 × 50 up to 56.
The workers' plugin has the same arithmetic on tensors (`loadline_vllm.experts.capacities`).
"""

from collections.abc import Sequence

GRID_THOUSANDTHS = (1_000, 1_250, 1_500, 2_000, 3_000)
"""Each γ for which a shadow table says what it would do; the paper reports 1.0 to 2.0, and none above 3.0."""

UNBOUNDED_THOUSANDTHS = 10_000_000
"""A γ that bounds nothing: above the number of physical experts of any layer."""


def capacities(replicas: Sequence[int], *, gamma_thousandths: int, tokens: int, top_k: int) -> list[int]:
    """The capacity of each expert: ⌈γ · tokens · top_k · replicas ÷ all replicas⌉, from 1 to `tokens`."""
    whole = 1_000 * sum(replicas)
    pairs = gamma_thousandths * tokens * top_k
    return [min(max(-(-pairs * count // whole), 1), tokens) for count in replicas]
