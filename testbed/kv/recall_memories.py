"""
What the layers of the recall model hold of many samples at once, and how it is folded and quantized.

Tokens are plain lists here, in no blocks; all samples of a batch are as long, so they are folded at the same
times. Quantized keys and values are arithmetic: rounded to so many levels between the least and the greatest
number of each token and head, then used as float32. It shows what the rounding costs in answers, and nothing
of a kernel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from loadline_policies.kv.spans import Spans
from loadline_vllm.retention.scores import Score, chosen
from testbed.kv.recall_models import HEAD, KV_HEADS

SINK_TOKENS, RECENT_TOKENS = 1, 8
"""An engine that is to answer alike has the same. Chosen: a fact that a fold cuts needs its beginning."""
UNQUANTIZED: Final = 16

Scores = Callable[[int, int], Score]
"""The score of a layer, by its number, for a request with so many computed tokens."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tokens of each sample stay in a layer at a time."""

    kept_tokens: int
    scores: Sequence[Scores]
    spans: Sequence[Spans]

    def places(self, old: "Memory", *, layer: int, computed_tokens: int) -> torch.Tensor:
        """The places of those that stay: [samples, KV heads, kept tokens]."""
        always = (old.positions < SINK_TOKENS) | (old.positions >= computed_tokens - RECENT_TOKENS)
        return torch.stack(
            [
                chosen(
                    scores(layer, computed_tokens)(keys, values, positions),
                    positions,
                    kept=self.kept_tokens,
                    always=stay,
                    spans=spans,
                )
                for scores, spans, keys, values, positions, stay in zip(
                    self.scores, self.spans, old.keys, old.values, old.positions, always, strict=True
                )
            ]
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What a layer holds: [samples, KV heads, tokens, head size], and [samples, KV heads, tokens]."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: torch.Tensor

    @property
    def tokens(self) -> int:
        return int(self.keys.shape[2])

    def added(self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor) -> "Memory":
        at = positions.expand(keys.shape[:3])
        return Memory(
            torch.cat([self.keys, keys], 2),
            torch.cat([self.values, values], 2),
            torch.cat([self.positions, at], 2),
        )

    def first(self, tokens: int) -> "Memory":
        return Memory(self.keys[:, :, :tokens], self.values[:, :, :tokens], self.positions[:, :, :tokens])

    def at(self, places: torch.Tensor) -> "Memory":
        expanded = places.unsqueeze(-1).expand(-1, -1, -1, HEAD)
        return Memory(
            self.keys.gather(2, expanded), self.values.gather(2, expanded), self.positions.gather(2, places)
        )

    def folded(self, choice: Choice, *, layer: int, computed_tokens: int, held_tokens: int) -> "Memory":
        """Without the tokens that are given up, so that so many are held."""
        surplus = self.tokens - held_tokens
        if not surplus:
            return self
        old = choice.kept_tokens + surplus
        places = choice.places(self.first(old), layer=layer, computed_tokens=computed_tokens)
        new = torch.arange(old, self.tokens).expand(*places.shape[:2], -1)
        return self.at(torch.cat([places, new], 2))


def empty(samples: int) -> Memory:
    """Memory of so many samples without a token."""
    nothing = torch.empty(samples, KV_HEADS, 0, HEAD)
    return Memory(nothing, nothing, torch.empty(samples, KV_HEADS, 0, dtype=torch.long))


def quantized(numbers: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Each row of the last dimension rounded to 2^bits levels between its least and its greatest number."""
    if bits == UNQUANTIZED:
        return numbers
    least = numbers.amin(-1, keepdim=True)
    step = (numbers.amax(-1, keepdim=True) - least).clamp(min=1e-8) / (2**bits - 1)
    return ((numbers - least) / step).round() * step + least
