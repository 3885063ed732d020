"""
What each policy does at a fold, by its name in the settings.
"""

from collections.abc import Mapping
from types import MappingProxyType

from loadline_vllm.retention.held_tokens import Reduction, Reductions
from loadline_vllm.retention.merges import merged
from loadline_vllm.retention.scores import SCORES, Scores, choosing

REDUCTIONS: Mapping[str, Reduction] = MappingProxyType(
    {**{policy: choosing(score) for policy, score in SCORES.items()}, "chelsea": merged}
)
"""Those that are the same in all layers and at all times."""


def same_everywhere(policy: str) -> Reductions:
    """A policy's reduction for every layer and time."""
    return lambda _layer, _computed_tokens: REDUCTIONS[policy]


def by_scores(scores: Scores) -> Reductions:
    """Choosing by scores that differ by layer and time."""
    return lambda layer, computed_tokens: choosing(scores(layer, computed_tokens))
