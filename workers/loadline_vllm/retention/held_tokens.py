"""
What a fold works on: the tokens of a request that one layer holds, and what makes fewer of them.

A reduction leaves as many tokens as it is asked for. `scores.choosing` keeps some of them as they are,
`merges.merged` replaces several by their mean. How many are left never depends on what they hold, so
scheduler and ranks know it without looking.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from loadline_policies.kv.spans import Spans


class Origins(NamedTuple):
    """What the KV memory doesn't say of tokens, each [heads, tokens]: their positions, and for how many
    tokens each stands, which is more than 1 for a centroid."""

    positions: torch.Tensor
    counts: torch.Tensor

    def followed_by(self, positions: torch.Tensor) -> "Origins":
        """Also those of new tokens at these positions, each of which stands for itself."""
        new = positions.expand(len(self.positions), -1)
        counts = torch.ones_like(new, dtype=self.counts.dtype)
        return Origins(torch.cat([self.positions, new], dim=1), torch.cat([self.counts, counts], dim=1))


def first_origins(tokens: int, *, heads: int, device: torch.device) -> Origins:
    """Those of the first tokens of a request that was never folded."""
    none = torch.empty(heads, 0, dtype=torch.int32, device=device)
    return Origins(none, none).followed_by(torch.arange(tokens, dtype=torch.int32, device=device))


class HeldTokens(NamedTuple):
    """Tokens of one layer: keys and values are [heads, tokens, head size]. In each head they are in the order
    of their positions."""

    keys: torch.Tensor
    values: torch.Tensor
    origins: Origins

    def at(self, places: torch.Tensor) -> "HeldTokens":
        """Only those at some places, [heads, tokens]."""
        origins = Origins(*(one.gather(1, places) for one in self.origins))
        return HeldTokens(vectors_at(self.keys, places), vectors_at(self.values, places), origins)


class Reduction(Protocol):
    """Leaves `kept` of the tokens of each head, in their order. Those of `always`, [heads, tokens], stay as
    they are; fair spans lose equal shares."""

    def __call__(
        self, tokens: HeldTokens, *, kept: int, always: torch.Tensor, spans: Spans
    ) -> HeldTokens: ...


Reductions = Callable[[str, int], Reduction]
"""The reduction of a layer, by its name in vLLM, for a request with so many computed tokens."""


def vectors_at(vectors: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Of [heads, tokens, head size], those at some places, [heads, places]: whole rows are copied, in a third
    of the time of a gather."""
    return vectors[torch.arange(len(vectors), device=vectors.device)[:, None], places]


def within(positions: torch.Tensor, start: int, end: int) -> torch.Tensor:
    """Which positions are in a span."""
    return (positions >= start) & (positions < end)


def sharing(positions: torch.Tensor, always: torch.Tensor, spans: Spans) -> list[torch.Tensor]:
    """Which tokens are in each group that loses its share: each fair span, and last all others, without
    those that always stay. The sizes of these groups are `Spans.shared_sizes`."""
    fair = [within(positions, span.start, span.end) & ~always for span in spans.fair]
    return [*fair, ~torch.stack([*fair, always]).any(dim=0)]
