"""
What an analysis puts in the place of a model's attention: all tokens, rounded ones, or those that folds
leave.

An attention gets a layer's queries, keys and values of a whole sequence at once. Under folds it goes through
the sequence from fold to fold, as an engine would that computes the tokens one by one or in chunks that end
with a buffer: the plugin's own `Fold` is applied, to memory whose blocks are single tokens.

Queries are taken in parts, so that no matrix of all pairs of tokens is ever there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch

from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.spans import Spans
from loadline_vllm.kv_analyses.kv_roundings import KvRounding
from loadline_vllm.retention.folds import Fold, KeysValues
from loadline_vllm.retention.held_tokens import Origins, Reductions, first_origins

QUERIES: Final = 256
"""Queries that are taken at once. Chosen: with 32 heads and 32,768 tokens their logits are a gigabyte."""


class States(NamedTuple):
    """A layer's queries, [query heads, tokens, head size], keys and values, [KV heads, …], and the scale."""

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    scale: float


Attention = Callable[[int, States], torch.Tensor]
"""From a layer's number and states to what its queries see: [query heads, tokens, head size]."""


def full(_layer: int, states: States) -> torch.Tensor:
    """Each token sees itself and all before it."""
    return _causal(states, before=0)


@dataclass(frozen=True, slots=True)
class Rounded:
    """Keys and values as a format holds them, but in layers that it spares; `then` is what looks at them."""

    rounding: KvRounding
    spares: Callable[[int], bool]
    then: Attention = full

    def __call__(self, layer: int, states: States) -> torch.Tensor:
        if not self.spares(layer):
            keys, values = self.rounding.keys(states.keys), self.rounding.values(states.values)
            states = states._replace(keys=keys, values=values)
        return self.then(layer, states)


@dataclass(frozen=True, slots=True)
class Retained:
    """Each token sees those that folds have left of the tokens before it, in each KV head."""

    budget: Budget
    reductions: Reductions
    sink_tokens: int
    recent_tokens: int

    def __call__(self, layer: int, states: States) -> torch.Tensor:
        budget, tokens = self.budget, states.keys.shape[1]
        kept, buffer = budget.kept_tokens, budget.buffer_tokens
        memory = torch.stack([states.keys, states.values])
        origins = first_origins(kept, heads=states.keys.shape[0], device=memory.device)
        seen = [_causal(_part(states, memory, torch.arange(min(kept + buffer, tokens)), start=0), before=0)]
        for start in range(kept + buffer, tokens, buffer):
            origins = self._fold(layer, memory, origins, computed=start)
            end = min(start + buffer, tokens)
            held = torch.cat([torch.arange(kept), torch.arange(start, end)])
            seen.append(_causal(_part(states, memory, held, start=start), before=kept))
        return torch.cat(seen, 1)

    def _fold(self, layer: int, memory: torch.Tensor, origins: Origins, *, computed: int) -> Origins:
        """Fold the buffer that ends at `computed`; the origins of what is left."""
        kept = self.budget.kept_tokens
        folded = torch.arange(computed - self.budget.buffer_tokens, computed)
        fold = Fold(
            kept_blocks=torch.arange(kept),
            folded_blocks=folded,
            folded_positions=folded,
            kept_tokens=kept,
            computed_tokens=computed,
            sink_tokens=self.sink_tokens,
            recent_tokens=self.recent_tokens,
            spans=Spans(),
        )
        reduction = self.reductions(f"model.layers.{layer}.self_attn.attn", computed)
        return fold.apply(memory, origins, layout=_SingleTokens(), reduction=reduction)


class _SingleTokens:
    """Memory of one request, [keys and values, heads, tokens, head size], whose blocks are single tokens."""

    def read(self, memory: torch.Tensor, blocks: torch.Tensor) -> KeysValues:
        return KeysValues(memory[0][:, blocks], memory[1][:, blocks])

    def write(self, memory: torch.Tensor, blocks: torch.Tensor, tokens: KeysValues) -> None:
        memory[0][:, blocks], memory[1][:, blocks] = tokens


def _part(states: States, memory: torch.Tensor, held: torch.Tensor, *, start: int) -> States:
    """The queries from `start` on of the last tokens in `held`, with the keys and values of all of these."""
    queries = states.queries[:, start : int(held[-1]) + 1]
    return States(queries, memory[0][:, held], memory[1][:, held], states.scale)


def _causal(states: States, *, before: int) -> torch.Tensor:
    """Attention of queries that see the first `before` tokens, and of the others those up to their own."""
    each = states.queries.shape[0] // states.keys.shape[0]
    keys, values = (one.repeat_interleave(each, 0) for one in (states.keys, states.values))
    seen = []
    for first in range(0, states.queries.shape[1], QUERIES):
        queries = states.queries[:, first : first + QUERIES]
        length = before + first + queries.shape[1]
        mask = torch.ones(queries.shape[1], length, dtype=torch.bool).tril(before + first)
        seen.append(
            torch.nn.functional.scaled_dot_product_attention(
                queries[None], keys[None, :, :length], values[None, :, :length],
                attn_mask=mask, scale=states.scale,
            )[0]
        )  # fmt: skip
    return torch.cat(seen, 1)
