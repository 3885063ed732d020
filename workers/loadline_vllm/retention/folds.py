"""
Folding: make fewer tokens of a request's, and move them into its first blocks, for one layer.

A layout says how keys and values of whole blocks are read from the KV memory of a layer and written to it.
Blocks are given by their ids, in the order of their tokens. Rotary positions are part of a cached key and the
softmax doesn't look at order, so where a token is kept makes no difference to attention.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from loadline_policies.kv.spans import Spans
from loadline_vllm.retention.held_tokens import HeldTokens, Origins, Reduction, within


class KeysValues(NamedTuple):
    """Keys and values of some tokens, each [heads, tokens, head size]."""

    keys: torch.Tensor
    values: torch.Tensor


class Layout(Protocol):
    """How blocks lie in the KV memory of a layer."""

    def read(self, memory: torch.Tensor, blocks: torch.Tensor) -> KeysValues: ...

    def write(self, memory: torch.Tensor, blocks: torch.Tensor, tokens: KeysValues) -> None: ...


class CpuVectors:
    """vLLM's CPU kernels `vec` and `vec16`: [blocks, heads, block, 2 × head size].

    The first half of a head's part of a block has its keys, transposed, and the second its values.
    """

    def read(self, memory: torch.Tensor, blocks: torch.Tensor) -> KeysValues:
        keys, values = self._halves(memory)
        _, heads, block, size = keys.shape
        read_keys = keys[blocks].reshape(-1, heads, size, block).permute(1, 0, 3, 2)
        read_values = values[blocks].permute(1, 0, 2, 3)
        return KeysValues(read_keys.reshape(heads, -1, size), read_values.reshape(heads, -1, size))

    def write(self, memory: torch.Tensor, blocks: torch.Tensor, tokens: KeysValues) -> None:
        memory_keys, memory_values = self._halves(memory)
        _, heads, block, size = memory_keys.shape
        by_block = tokens.keys.reshape(heads, -1, block, size).permute(1, 0, 3, 2)
        memory_keys[blocks] = by_block.reshape(-1, heads, block, size)
        memory_values[blocks] = tokens.values.reshape(heads, -1, block, size).permute(1, 0, 2, 3)

    @staticmethod
    def _halves(memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        blocks, heads, block, both = memory.shape
        keys, values = memory.view(blocks, heads, 2 * block, both // 2).chunk(2, dim=2)
        return keys, values


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of one request: the blocks whose tokens are looked at, and how many tokens are left.

    `kept_blocks` are the request's first blocks, which will hold what is left, `folded_blocks` those after
    them that are given up. `computed_tokens` are all that the request has computed.
    """

    kept_blocks: torch.Tensor
    folded_blocks: torch.Tensor
    folded_positions: torch.Tensor
    kept_tokens: int
    computed_tokens: int
    sink_tokens: int
    recent_tokens: int
    spans: Spans

    def apply(self, memory: torch.Tensor, kept: Origins, *, layout: Layout, reduction: Reduction) -> Origins:
        """Fold one layer. `kept` are the origins of the tokens in its first blocks, and what is returned are
        those afterwards."""
        read = layout.read(memory, torch.cat([self.kept_blocks, self.folded_blocks]))
        origins = kept.followed_by(self.folded_positions)
        left = reduction(
            HeldTokens(read.keys, read.values, origins),
            kept=self.kept_tokens,
            always=self._always(origins.positions),
            spans=self.spans,
        )
        layout.write(memory, self.kept_blocks, KeysValues(left.keys, left.values))
        return left.origins

    def _always(self, positions: torch.Tensor) -> torch.Tensor:
        """Which tokens stay as they are: the first ones, the latest, and those of protected spans."""
        always = (positions < self.sink_tokens) | (positions >= self.computed_tokens - self.recent_tokens)
        for span in self.spans.protected:
            always |= within(positions, span.start, span.end)
        return always
