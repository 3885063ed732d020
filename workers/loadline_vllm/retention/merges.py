"""
Merging tokens into centroids instead of dropping them (Chelsea, now CentroidKV, arXiv 2506.11418).

Of each chunk of tokens, every other one is compared with those between, by the cosine of their keys, and has
an edge to the one that it is most like. Of all edges the closest ones merge: keys and values of a cluster
become their means, in which each counts for as many tokens as it stands for already. A pass can remove one
token for each edge, about half of all. If more have to go, passes repeat, and merge centroids in turn.

A key is cached with its rotary position, but attention is linear in it before the softmax: a mean of keys
gives a query the mean of the logits that each would have given. What is lost is that a centroid weighs as one
token instead of as many as it stands for, and that keys differ. The authors remedy the first by adding the
logarithm of the count to its logit, for which vLLM's kernels on CPUs have no place.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from loadline_policies.kv.spans import Spans, quotas_of_present
from loadline_vllm.retention.held_tokens import HeldTokens, Origins, sharing, vectors_at

CHUNK_TOKENS: Final = 128
"""Tokens that are compared with each other; even. Chosen: the time of a fold grows with it."""

STEPS: Final = 1024
"""Cosines are compared in steps of 1 / 1024. Chosen: pairs of the same words at the same distance are equally
alike, but for rounding, which differs with the batch in which their keys were computed. In steps they are
equal, so that a request which is computed again in another batch merges the same tokens."""

UNLIKE: Final = -2.0 * STEPS
"""Below all cosines: the likeness of keys that aren't finite, which merge last."""

SHORTEST: Final = 1e-12
"""No key counts as shorter, so that one of zeros is like none."""


class Edges(NamedTuple):
    """Which tokens go into which, by their places, each [heads, edges]."""

    sources: torch.Tensor
    targets: torch.Tensor


def merged(tokens: HeldTokens, *, kept: int, always: torch.Tensor, spans: Spans) -> HeldTokens:
    """The tokens with the most similar ones merged, until `kept` are left in each head.

    A centroid takes the place and the position of one of its tokens. None reaches over the border of a fair
    span. A group whose share is no token at all is dropped. In all heads each group has to have as many
    tokens, and so it has afterwards.
    """
    groups, quotas = _groups(tokens.origins.positions, kept=kept, always=always, spans=spans)
    held = HeldTokens(tokens.keys.float(), tokens.values.float(), tokens.origins)
    for number, quota in enumerate(quotas):
        if quota == 0:
            stay = _places(groups != number)
            held, groups = held.at(stay), groups.gather(1, stay)
    while held.keys.shape[1] > kept:
        found = _edges_of_groups(held.keys, groups, quotas)
        stay = _places(torch.ones_like(groups, dtype=torch.bool).scatter_(1, found.sources, value=False))
        held, groups = _joined(held, found, stay=stay), groups.gather(1, stay)
    return HeldTokens(held.keys.to(tokens.keys.dtype), held.values.to(tokens.values.dtype), held.origins)


def _groups(
    positions: torch.Tensor, *, kept: int, always: torch.Tensor, spans: Spans
) -> tuple[torch.Tensor, list[int]]:
    """The number of each token's group, -1 if it always stays, and how many tokens are left of each group."""
    numbers = torch.full_like(positions, -1)
    masks = sharing(positions, always, spans)
    for number, mask in enumerate(masks):
        numbers.masked_fill_(mask, number)
    quotas = quotas_of_present(
        spans.shared_sizes(int(positions.max()) + 1),
        [int(mask[0].sum()) for mask in masks],
        kept=kept - int(always[0].sum()),
    )
    return numbers, quotas


def _edges_of_groups(keys: torch.Tensor, groups: torch.Tensor, quotas: Sequence[int]) -> Edges:
    """The edges of one pass in each group that has more tokens than its quota."""
    found = []
    for number, quota in enumerate(quotas):
        places = _places(groups == number)
        if places.shape[1] > quota:
            found.append(edges(keys, places, most=places.shape[1] - quota))
    return Edges(*(torch.cat(ends, dim=1) for ends in zip(*found, strict=True)))


def edges(keys: torch.Tensor, places: torch.Tensor, *, most: int) -> Edges:
    """The edges among the tokens at some places, two or more, that merge in one pass: the `most` closest
    ones, or all if there are fewer. Of equal ones the first. Every other one of `places` is a source."""
    heads, tokens = places.shape
    chunk = min(CHUNK_TOKENS, tokens + tokens % 2)
    filled = torch.nn.functional.pad(places, (0, -tokens % chunk)).view(heads, -1, chunk // 2, 2)
    sources, targets = filled.unbind(3)
    absent = (torch.arange(filled[0].numel(), device=keys.device) >= tokens).view(filled.shape[1:])
    likeness = _likeness(keys, sources, targets)
    likeness.masked_fill_(absent[:, :, None, 0] | absent[:, None, :, 1], float("-inf"))
    closest, partners = likeness.max(dim=3)
    count = min(most, int(closest[0].isfinite().sum()))
    order = closest.view(heads, -1).sort(dim=1, descending=True, stable=True).indices[:, :count]
    ends = sources, targets.gather(2, partners)
    return Edges(*(end.reshape(heads, -1).gather(1, order) for end in ends))


def _likeness(keys: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cosines of the keys at sources with those at targets, both [heads, chunks, places], in steps:
    [heads, chunks, sources, targets]."""
    one, other = (vectors_at(keys, ends.flatten(1)).view(*ends.shape, -1) for ends in (sources, targets))
    likeness = one @ other.transpose(2, 3)
    likeness *= STEPS / one.norm(dim=3, keepdim=True).clamp_min(SHORTEST)
    likeness /= other.norm(dim=3).clamp_min(SHORTEST).unsqueeze(2)
    return likeness.round_().nan_to_num_(nan=UNLIKE, posinf=UNLIKE, neginf=UNLIKE)


def _joined(tokens: HeldTokens, found: Edges, *, stay: torch.Tensor) -> HeldTokens:
    """The tokens that stay, each moved to the mean of all that go into it.

    What a source adds is its difference from its target times its part of the cluster, so a token into which
    nothing goes stays as it is, to the bit.
    """
    left, counts = tokens.at(stay), tokens.origins.counts
    joined = counts.scatter_add(1, found.targets, counts.gather(1, found.sources))
    parts = (counts.gather(1, found.sources) / joined.gather(1, found.targets)).unsqueeze(2)
    heads = torch.arange(len(stay), device=stay.device)[:, None]
    at = torch.searchsorted(stay, found.targets) + heads * stay.shape[1]
    for old, new in ((tokens.keys, left.keys), (tokens.values, left.values)):
        moves = (vectors_at(old, found.sources) - vectors_at(old, found.targets)) * parts
        new.view(-1, new.shape[2]).index_add_(0, at.flatten(), moves.flatten(0, 1))
    return left._replace(origins=Origins(left.origins.positions, joined.gather(1, stay)))


def _places(mask: torch.Tensor) -> torch.Tensor:
    """The places of a mask's tokens, as many in each head, in ascending order."""
    return mask.nonzero()[:, 1].view(len(mask), -1)
