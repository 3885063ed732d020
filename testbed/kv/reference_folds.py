"""
What a layer holds after a fold, by plain lists: tokens are chosen one by one, or compared pair by pair.

Slow and obvious, since the plugin's folds are compared with it. Nothing is shared with them but the scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from loadline_vllm.retention.scores import Score


@dataclass(slots=True)
class Layer:
    """What a layer holds: keys and values, [KV heads, tokens, head size], and of each token its position and
    how many it stands for, [KV heads, tokens]."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: torch.Tensor
    counts: torch.Tensor

    def first(self, tokens: int) -> "Layer":
        return Layer(*(part[:, :tokens] for part in self._parts))

    def after(self, tokens: int) -> "Layer":
        return Layer(*(part[:, tokens:] for part in self._parts))

    def followed_by(self, later: "Layer") -> "Layer":
        return Layer(*(torch.cat(both, 1) for both in zip(self._parts, later._parts, strict=True)))

    def added(self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor) -> "Layer":
        at = positions.expand(keys.shape[0], -1)
        return self.followed_by(Layer(keys, values, at, torch.ones_like(at)))

    @property
    def _parts(self) -> tuple[torch.Tensor, ...]:
        return self.keys, self.values, self.positions, self.counts


@dataclass(frozen=True, slots=True)
class Token:
    """One token of one head, or a centroid of several."""

    key: torch.Tensor
    value: torch.Tensor
    position: int
    count: int


Stays = Sequence[Sequence[bool]]
"""Of each head, which tokens stay as they are."""

LayerReduction = Callable[[Layer, Stays, int], Layer]
"""Leaves so many tokens of each head of a layer."""


def choosing(score: Score) -> LayerReduction:
    """Those with the best scores stay."""

    def reduce(layer: Layer, stays: Stays, kept: int) -> Layer:
        scores = score(layer.keys, layer.values, layer.positions).tolist()
        heads = []
        for tokens, stay, worth in zip(_heads(layer), stays, scores, strict=True):
            order = sorted(range(len(tokens)), key=lambda at: (stay[at], worth[at]), reverse=True)
            heads.append([tokens[at] for at in sorted(order[:kept])])
        return _layer(heads)

    return reduce


def merging(*, chunk_tokens: int, steps: int) -> LayerReduction:
    """The most similar ones of a chunk become centroids, pass by pass. Cosines are compared in steps."""

    def reduce(layer: Layer, stays: Stays, kept: int) -> Layer:
        heads = []
        for tokens, stay in zip(_heads(layer), stays, strict=True):
            fixed = [token for token, stays_so in zip(tokens, stay, strict=True) if stays_so]
            free = [token for token, stays_so in zip(tokens, stay, strict=True) if not stays_so]
            while len(fixed) + len(free) > kept:
                most = len(fixed) + len(free) - kept
                free = _merged(free, _closest_edges(free, most=most, chunk_tokens=chunk_tokens, steps=steps))
            heads.append(sorted([*fixed, *free], key=lambda token: token.position))
        return _layer(heads)

    return reduce


def _closest_edges(tokens: Sequence[Token], *, most: int, chunk_tokens: int, steps: int) -> dict[int, int]:
    """At most so many tokens that go into another one, and into which; of equal ones the first."""
    units = [token.key.double() / token.key.double().norm() for token in tokens]
    edges = []
    for first in range(0, len(tokens), chunk_tokens):
        chunk = range(first, min(first + chunk_tokens, len(tokens)))
        for source in chunk[::2]:
            likeness = {target: round(float(units[source] @ units[target]) * steps) for target in chunk[1::2]}
            if likeness:
                target = max(likeness, key=likeness.__getitem__)
                edges.append((likeness[target], source, target))
    edges.sort(key=lambda edge: edge[0], reverse=True)
    return {source: target for _, source, target in edges[:most]}


def _merged(tokens: Sequence[Token], goes_into: Mapping[int, int]) -> list[Token]:
    return [
        _centroid(token, [tokens[one] for one, target in goes_into.items() if target == place])
        for place, token in enumerate(tokens)
        if place not in goes_into
    ]


def _centroid(token: Token, others: Sequence[Token]) -> Token:
    """The mean of a token and others; it keeps the token's position."""
    if not others:
        return token
    cluster = [token, *others]
    count = sum(one.count for one in cluster)
    key = sum(one.key.double() * one.count for one in cluster) / count
    value = sum(one.value.double() * one.count for one in cluster) / count
    return Token(torch.as_tensor(key).float(), torch.as_tensor(value).float(), token.position, count)


def _heads(layer: Layer) -> list[list[Token]]:
    """The tokens of each head."""
    positions, counts = layer.positions.tolist(), layer.counts.tolist()
    return [
        [Token(*token) for token in zip(*head, strict=True)]
        for head in zip(layer.keys, layer.values, positions, counts, strict=True)
    ]


def _layer(heads: Sequence[Sequence[Token]]) -> Layer:
    return Layer(
        torch.stack([torch.stack([token.key for token in head]) for head in heads]),
        torch.stack([torch.stack([token.value for token in head]) for head in heads]),
        torch.tensor([[token.position for token in head] for head in heads]),
        torch.tensor([[token.count for token in head] for head in heads]),
    )
