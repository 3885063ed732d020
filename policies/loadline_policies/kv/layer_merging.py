"""
What merging the KV of adjacent layers would save (MiniCache, arXiv 2405.14366), by the paper's own formula.

From the middle of the model on, pairs of layers keep one direction of each token's keys, and one of its
values, and a magnitude for each layer; a few tokens whose directions differ too much stay as they are.
Loadline doesn't serve it: `WHY_NOT_SERVED`. An analysis measures only how much alike the layers are.
"""

from math import acos, pi
from typing import Final

PAPER_RATIO: Final = 1.53
"""The paper's measured figure for merging alone; its 5.02 is merging with 4-bit numbers."""

UNMERGED_SHARE: Final = 0.05
"""The paper's γ: tokens in this share of the range of distances, at its far end, stay unmerged."""

SOURCE: Final = "MiniCache, arXiv 2405.14366: 4brh(s+n) bytes become (3.1h+2)br(s+n)"

WHY_NOT_SERVED: Final = (
    "a kernel would have to multiply keys and values by a magnitude of each token, and vLLM's take a scale of"
    " a tensor or a head; writing the merged memory out again for each step needs what was saved"
)


def saving_ratio(width: int) -> float:
    """The memory as a multiple of that with merging; `width` is the elements of a token's keys in a layer."""
    return 4 * width / (3.1 * width + 2)


def merged_pairs(layers: int) -> tuple[tuple[int, int], ...]:
    """The pairs of layers that are merged, counted from 0: from the middle on, each layer in one pair."""
    return tuple((layer - 2, layer - 1) for layer in range(max(2, layers // 2), layers + 1, 2))


def angular_distance(cosine: float) -> float:
    """How far two directions are apart, from 0 (the same) to 1 (opposite)."""
    return acos(max(-1.0, min(1.0, cosine))) / pi
