"""
What a Llama model answers when its KV memory is folded, computed without vLLM.

The keys and values of each layer are folded by the rule of `loadline_policies.kv.budgets`, in the way of
`reference_folds`. One request at a time, in float32.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from loadline_policies.kv.budgets import Budget
from testbed.kv.reference_folds import Layer, LayerReduction


@dataclass(frozen=True, slots=True)
class FoldRule:
    """What is left of a layer at a time, by its number and the computed tokens; the first and the last tokens
    always stay."""

    reductions: Callable[[int, int], LayerReduction]
    sinks: int = 0
    recent: int = 0

    def folded(self, layer: Layer, number: int, *, kept: int, dropped: int, computed: int) -> Layer:
        """The layer with `dropped` fewer of its first `kept` + `dropped` tokens."""
        old = layer.first(kept + dropped)
        stays = [
            [position < self.sinks or position >= computed - self.recent for position in head]
            for head in old.positions.tolist()
        ]
        left = self.reductions(number, computed)(old, stays, kept)
        return left.followed_by(layer.after(kept + dropped))


class Reference:
    """A Llama model of `directory`, as Hugging Face stores it."""

    def __init__(self, directory: Path) -> None:
        self._config = json.loads((directory / "config.json").read_text())
        self._weights = {
            name: tensor.float() for name, tensor in load_file(directory / "model.safetensors").items()
        }

    def answer(
        self,
        prompt: Sequence[int],
        *,
        tokens: int,
        chunk: int,
        budget: Budget | None = None,
        fold: FoldRule | None = None,
    ) -> list[int]:
        """The most likely tokens after a prompt that is computed in chunks of so many tokens."""
        with torch.no_grad():
            return self._answer(prompt, tokens=tokens, chunk=chunk, budget=budget, fold=fold)

    def _answer(
        self, prompt: Sequence[int], *, tokens: int, chunk: int, budget: Budget | None, fold: FoldRule | None
    ) -> list[int]:
        known, computed, folds = list(prompt), 0, 0
        layers = [self._empty() for _ in range(self._config["num_hidden_layers"])]
        answer: list[int] = []
        while len(answer) < tokens:
            if budget is not None and fold is not None and budget.folds(computed) > folds:
                dropped = (budget.folds(computed) - folds) * budget.buffer_tokens
                folds = budget.folds(computed)
                layers = [
                    fold.folded(one, number, kept=budget.kept_tokens, dropped=dropped, computed=computed)
                    for number, one in enumerate(layers)
                ]
            step = known[computed : computed + chunk]
            hidden = self._weights["model.embed_tokens.weight"][torch.tensor(step)]
            positions = torch.arange(computed, computed + len(step))
            for number in range(len(layers)):
                hidden, layers[number] = self._layer(
                    number, hidden, positions=positions, memory=layers[number]
                )
            computed += len(step)
            if computed == len(known):
                last = _normed(hidden[-1:], self._weights["model.norm.weight"], self._config["rms_norm_eps"])
                token = int((last @ self._head().T).argmax())
                known.append(token)
                answer.append(token)
        return answer

    def _head(self) -> torch.Tensor:
        tied = self._weights["model.embed_tokens.weight"]
        return self._weights.get("lm_head.weight", tied)

    def _empty(self) -> Layer:
        heads, size = self._config["num_key_value_heads"], self._head_size
        nothing, none = torch.empty(heads, 0, size), torch.empty(heads, 0, dtype=torch.long)
        return Layer(nothing, nothing, none, none)

    @property
    def _head_size(self) -> int:
        size: int = self._config.get(
            "head_dim", self._config["hidden_size"] // self._config["num_attention_heads"]
        )
        return size

    def _layer(
        self, number: int, hidden: torch.Tensor, *, positions: torch.Tensor, memory: Layer
    ) -> tuple[torch.Tensor, Layer]:
        weights = {
            name.removeprefix(f"model.layers.{number}."): tensor
            for name, tensor in self._weights.items()
            if name.startswith(f"model.layers.{number}.")
        }
        epsilon, size = self._config["rms_norm_eps"], self._head_size
        normed = _normed(hidden, weights["input_layernorm.weight"], epsilon)
        queries, keys, values = (
            (normed @ weights[f"self_attn.{name}_proj.weight"].T).view(len(hidden), -1, size).transpose(0, 1)
            for name in "qkv"
        )
        queries, keys = self._rotated(queries, positions), self._rotated(keys, positions)
        memory = memory.added(keys, values, positions)
        each = queries.shape[0] // keys.shape[0]
        scores = queries @ memory.keys.repeat_interleave(each, 0).transpose(1, 2) / size**0.5
        later = memory.positions.repeat_interleave(each, 0)[:, None] > positions[None, :, None]
        shares = scores.masked_fill(later, float("-inf")).softmax(-1)
        mixed = (shares @ memory.values.repeat_interleave(each, 0)).transpose(0, 1).reshape(len(hidden), -1)
        hidden = hidden + mixed @ weights["self_attn.o_proj.weight"].T
        normed = _normed(hidden, weights["post_attention_layernorm.weight"], epsilon)
        gate = torch.nn.functional.silu(normed @ weights["mlp.gate_proj.weight"].T)
        up = normed @ weights["mlp.up_proj.weight"].T
        return hidden + (gate * up) @ weights["mlp.down_proj.weight"].T, memory

    def _rotated(self, heads: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        half = heads.shape[-1] // 2
        base = self._config.get("rope_theta") or self._config["rope_parameters"]["rope_theta"]
        angles = positions[:, None].float() / base ** (torch.arange(half).float() / half)
        first, second = heads[..., :half], heads[..., half:]
        cosine, sine = angles.cos(), angles.sin()
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def _normed(hidden: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + epsilon) * weight
