"""
The small Llama that answers recall tasks, in plain torch, with the names that Hugging Face gives its weights.

Its training and its accuracies need what an engine has no way to say: keys that are hidden from some queries,
and answers at a few positions only. So the model is written out here; engines load the same weights, from the
directory that `save` writes. Two layers, the least that can look up a pair: the first brings each value its
key, the second finds the value.
"""

import json
import math
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from testbed.kv.recall_sequences import BOS, EOS, PAD, VOCABULARY

DIRECTORY: Final = Path(__file__).parent / "recall_model"
"""The model that is committed."""

LAYERS, HIDDEN, INNER = 2, 128, 256
HEADS, KV_HEADS, HEAD = 4, 2, 32
CONTEXT_TOKENS: Final = 4096
"""What an engine accepts. Chosen: four times the pool of the memory benchmark; it was trained on 300."""
EPSILON: Final = 1e-5
ROTARY_BASE: Final = 100_000.0
"""Chosen: half of a head's pairs of dimensions turn by less than a radian over 200 tokens, for contents."""


class RecallModel(nn.Module):
    """The weights, and what they predict. `directory` is where they come from, or will be."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        super().__init__()
        self.directory = directory
        shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
        for number in range(LAYERS):
            shapes |= {f"model.layers.{number}.{name}.weight": shape for name, shape in _LAYER.items()}
        shapes["lm_head.weight"] = (VOCABULARY, HIDDEN)
        self._weights = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}
        )

    def drawn(self, seed: int) -> "RecallModel":
        """This model, with weights from a seed."""
        generator = torch.Generator().manual_seed(seed)
        for weight in self._weights.values():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.05, generator=generator)
        return self

    def weight(self, name: str) -> torch.Tensor:
        found: torch.Tensor = self._weights[f"{name}.weight".replace(".", "/")]
        return found

    def named_weights(self) -> dict[str, torch.Tensor]:
        return {name.replace("/", "."): weight for name, weight in self._weights.items()}

    def logits(self, ids: torch.Tensor, at: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Of the next token at some positions, [sequences, positions, vocabulary].

        `hidden`, [sequences, tokens, tokens], says which keys (last) a query (before) doesn't see.
        """
        states = self.weight("model.embed_tokens")[ids]
        positions = torch.arange(ids.shape[1])
        for number in range(LAYERS):
            seen = at if number == LAYERS - 1 else positions
            states = self.layer(number, states, seen=seen, hidden=hidden)
        return self.predicted(states)

    def predicted(self, states: torch.Tensor) -> torch.Tensor:
        """The logits from the last layer's output."""
        return normed(states, self.weight("model.norm")) @ self.weight("lm_head").T

    def layer(
        self, number: int, states: torch.Tensor, *, seen: torch.Tensor, hidden: torch.Tensor | None
    ) -> torch.Tensor:
        """The layer's output at the positions `seen`; the last layer's is needed at few."""
        tokens = states.shape[1]
        keys, values = self.keys_values(number, states, torch.arange(tokens))
        if len(seen) < tokens:
            states = states[:, seen]
        queries = self.queries(number, states, seen)
        mixed = nn.functional.scaled_dot_product_attention(
            queries, for_each_head(keys), for_each_head(values), attn_mask=_visible(seen, tokens, hidden)
        )
        return self.after_attention(number, states, mixed)

    def log_attention(
        self, number: int, states: torch.Tensor, *, seen: torch.Tensor, hidden: torch.Tensor | None
    ) -> torch.Tensor:
        """The logarithms of a layer's attention at the positions `seen`: [sequences, heads, seen, tokens]."""
        tokens = states.shape[1]
        keys, _ = self.keys_values(number, states, torch.arange(tokens))
        queries = self.queries(number, states[:, seen], seen)
        scores = queries @ for_each_head(keys).transpose(2, 3) / math.sqrt(HEAD)
        return scores.masked_fill(~_visible(seen, tokens, hidden), -math.inf).log_softmax(-1)

    def queries(self, number: int, states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Rotated queries, [sequences, heads, tokens, head size], of states before the layer."""
        states = normed(states, self.weight(f"model.layers.{number}.input_layernorm"))
        return rotated(_heads(states @ self.weight(f"model.layers.{number}.self_attn.q_proj").T), positions)

    def keys_values(
        self, number: int, states: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotated keys, and values, each [sequences, KV heads, tokens, head size]."""
        states = normed(states, self.weight(f"model.layers.{number}.input_layernorm"))
        keys = _heads(states @ self.weight(f"model.layers.{number}.self_attn.k_proj").T)
        values = _heads(states @ self.weight(f"model.layers.{number}.self_attn.v_proj").T)
        return rotated(keys, positions), values

    def after_attention(self, number: int, states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The layer's output, from its input and what attention has mixed."""
        at = f"model.layers.{number}"
        states = states + mixed.transpose(1, 2).flatten(2) @ self.weight(f"{at}.self_attn.o_proj").T
        inner = normed(states, self.weight(f"{at}.post_attention_layernorm"))
        gate = nn.functional.silu(inner @ self.weight(f"{at}.mlp.gate_proj").T)
        up = inner @ self.weight(f"{at}.mlp.up_proj").T
        return states + (gate * up) @ self.weight(f"{at}.mlp.down_proj").T


_LAYER: Final = {
    "input_layernorm": (HIDDEN,),
    "self_attn.q_proj": (HEADS * HEAD, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD),
    "post_attention_layernorm": (HIDDEN,),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def normed(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return nn.functional.rms_norm(states, (HIDDEN,), weight, EPSILON)


def rotated(heads: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Queries or keys with their positions in them, as Hugging Face pairs the dimensions."""
    half = HEAD // 2
    angles = positions[:, None].float() / ROTARY_BASE ** (torch.arange(half).float() / half)
    first, second = heads[..., :half], heads[..., half:]
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def _heads(states: torch.Tensor) -> torch.Tensor:
    return states.unflatten(-1, (-1, HEAD)).transpose(1, 2)


def for_each_head(kv_heads: torch.Tensor) -> torch.Tensor:
    """Keys or values of KV heads, for each head that reads them."""
    return kv_heads.repeat_interleave(HEADS // KV_HEADS, 1)


def _visible(seen: torch.Tensor, tokens: int, hidden: torch.Tensor | None) -> torch.Tensor:
    visible = (torch.arange(tokens)[None, :] <= seen[:, None])[None, None]
    return visible if hidden is None else visible & ~hidden[:, None, seen]


def config() -> dict[str, Any]:
    """What engines read first."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROTARY_BASE,
        "tie_word_embeddings": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "torch_dtype": "float32",
    }


def save(model: RecallModel, directory: Path) -> None:
    """Write the model as engines load it, its weights in float16."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config(), indent=1) + "\n")
    halves = {name: weight.detach().half().contiguous() for name, weight in model.named_weights().items()}
    save_file(halves, directory / "model.safetensors", metadata={"format": "pt"})


def load(directory: Path = DIRECTORY) -> RecallModel:
    """The model of a directory, in float32."""
    model, weights = RecallModel(directory), load_file(directory / "model.safetensors")
    model.requires_grad_(requires_grad=False)
    for name, weight in model.named_weights().items():
        weight.copy_(weights[name])
    return model
