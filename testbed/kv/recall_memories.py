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
from loadline_vllm.retention.held_tokens import HeldTokens, Origins, Reduction, within
from testbed.kv.recall_models import HEAD, KV_HEADS

SINK_TOKENS, RECENT_TOKENS = 1, 8
"""An engine that is to answer alike has the same. Chosen: a fact that a fold cuts needs its beginning."""
UNQUANTIZED: Final = 16

LayerReductions = Callable[[int, int], Reduction]
"""The reduction of a layer, by its number, for a request with so many computed tokens."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is left of the tokens of each sample in a layer at a time."""

    kept_tokens: int
    reductions: Sequence[LayerReductions]
    spans: Sequence[Spans]

    def left(self, old: "Memory", *, layer: int, computed_tokens: int) -> "Memory":
        """So many tokens of each sample and head."""
        always = (old.positions < SINK_TOKENS) | (old.positions >= computed_tokens - RECENT_TOKENS)
        left = []
        for number, (reductions, spans) in enumerate(zip(self.reductions, self.spans, strict=True)):
            positions, stay = old.positions[number], always[number]
            for span in spans.protected:
                stay = stay | within(positions, span.start, span.end)
            origins = Origins(positions, old.counts[number])
            held = HeldTokens(old.keys[number], old.values[number], origins)
            reduction = reductions(layer, computed_tokens)
            left.append(reduction(held, kept=self.kept_tokens, always=stay, spans=spans))
        return Memory(
            torch.stack([one.keys for one in left]),
            torch.stack([one.values for one in left]),
            torch.stack([one.origins.positions for one in left]),
            torch.stack([one.origins.counts for one in left]),
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What a layer holds: keys and values, [samples, KV heads, tokens, head size], and of each token its
    position and how many it stands for, [samples, KV heads, tokens]."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: torch.Tensor
    counts: torch.Tensor

    @property
    def tokens(self) -> int:
        return int(self.keys.shape[2])

    def added(self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor) -> "Memory":
        at = positions.expand(keys.shape[:3])
        return self._followed_by(Memory(keys, values, at, torch.ones_like(at)))

    def folded(self, choice: Choice, *, layer: int, computed_tokens: int, held_tokens: int) -> "Memory":
        """With as many tokens as are held once those that are too many are given up."""
        surplus = self.tokens - held_tokens
        if not surplus:
            return self
        old = choice.kept_tokens + surplus
        first = Memory(*(part[:, :, :old] for part in self._parts))
        left = choice.left(first, layer=layer, computed_tokens=computed_tokens)
        return left._followed_by(Memory(*(part[:, :, old:] for part in self._parts)))

    def _followed_by(self, later: "Memory") -> "Memory":
        return Memory(*(torch.cat(both, 2) for both in zip(self._parts, later._parts, strict=True)))

    @property
    def _parts(self) -> tuple[torch.Tensor, ...]:
        return self.keys, self.values, self.positions, self.counts


def empty(samples: int) -> Memory:
    """Memory of so many samples without a token."""
    nothing = torch.empty(samples, KV_HEADS, 0, HEAD)
    none = torch.empty(samples, KV_HEADS, 0, dtype=torch.long)
    return Memory(nothing, nothing, none, none)


def quantized(numbers: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Each row of the last dimension rounded to 2^bits levels between its least and its greatest number."""
    if bits == UNQUANTIZED:
        return numbers
    least = numbers.amin(-1, keepdim=True)
    step = (numbers.amax(-1, keepdim=True) - least).clamp(min=1e-8) / (2**bits - 1)
    return ((numbers - least) / step).round() * step + least
