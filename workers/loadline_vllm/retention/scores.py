"""
Which tokens of a request are worth keeping: one score for each token and KV head, the higher the better.

All scores follow from what is in the KV memory already and from the tokens' positions, so nothing has to be
recorded when a token is written. Shapes: keys and values are [heads, tokens, head size], positions and scores
[heads, tokens].
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from loadline_policies.kv.spans import Spans, fair_quotas
from loadline_vllm.retention.held_tokens import HeldTokens, Reduction, sharing

Score = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def streaming(_keys: torch.Tensor, _values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The latest tokens; with the sinks this is StreamingLLM (arXiv 2309.17453)."""
    return positions.float()


def key_norm(keys: torch.Tensor, _values: torch.Tensor, _positions: torch.Tensor) -> torch.Tensor:
    """Tokens whose keys are small, which get more attention (arXiv 2406.11430)."""
    return -keys.float().norm(dim=-1)


def key_diff(keys: torch.Tensor, _values: torch.Tensor, _positions: torch.Tensor) -> torch.Tensor:
    """Tokens whose keys are least like the mean of all, by their cosine (KeyDiff, arXiv 2504.15364)."""
    unit = torch.nn.functional.normalize(keys.float(), dim=-1)
    mean = torch.nn.functional.normalize(unit.mean(dim=1, keepdim=True), dim=-1)
    return -(unit * mean).sum(dim=-1)


def random(_keys: torch.Tensor, _values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Any tokens, but always the same ones, so that a request that is computed again keeps them."""
    spread = (positions.long() * 2_654_435_761 + 40_503) % 2**32
    return ((spread ^ (spread >> 15)) * 2_246_822_519 % 2**32).float()


Scores = Callable[[str, int], Score]
"""The score of a layer, by its name in vLLM, for a request with so many computed tokens."""

SCORES: Mapping[str, Score] = MappingProxyType(
    {"streaming": streaming, "key-norm": key_norm, "key-diff": key_diff, "random": random}
)
"""Those that are the same in all layers and at all times, by the names of policies."""


def choosing(score: Score) -> Reduction:
    """Keep the tokens with the best scores as they are."""

    def reduce(tokens: HeldTokens, *, kept: int, always: torch.Tensor, spans: Spans) -> HeldTokens:
        positions = tokens.origins.positions
        scores = score(tokens.keys, tokens.values, positions)
        return tokens.at(chosen(scores, positions, kept=kept, always=always, spans=spans))

    return reduce


def chosen(
    scores: torch.Tensor, positions: torch.Tensor, *, kept: int, always: torch.Tensor, spans: Spans
) -> torch.Tensor:
    """The places of the `kept` best tokens of each head, in ascending order: [heads, kept].

    Those of `always` (a mask like `scores`) come first, then those that fair spans have a right to, then all
    others by score.
    """
    rank = scores.double().nan_to_num(nan=float("-inf"))
    if spans.fair:
        rank = rank + _entitled(rank, positions, always, kept=kept, spans=spans)
    rank = rank.masked_fill(always, float("inf"))
    return rank.topk(kept, dim=1).indices.sort(dim=1).values


def _entitled(
    scores: torch.Tensor, positions: torch.Tensor, always: torch.Tensor, *, kept: int, spans: Spans
) -> torch.Tensor:
    """A bonus above all scores for the best tokens of each fair span, as many as are its share.

    Shared out are the places that are left beside `always`, which may be others in each head. Shares are of
    all tokens so far that aren't protected, also of those that were dropped before. What is outside of the
    fair spans is one more of them.
    """
    sizes, groups = spans.shared_sizes(int(positions.max()) + 1), sharing(positions, always, spans)
    finite = scores[scores.isfinite()]
    above = 2.0 * finite.abs().max() + 1.0 if finite.numel() else scores.new_tensor(1.0)
    bonus = torch.zeros_like(scores)
    for head in range(scores.shape[0]):
        quotas = fair_quotas(sizes, kept=kept - int(always[head].sum()))
        for mask, quota in zip(groups, quotas, strict=True):
            places = mask[head].nonzero()[:, 0]
            best = scores[head, places].topk(min(quota, len(places))).indices
            bonus[head, places[best]] = above
    return bonus
