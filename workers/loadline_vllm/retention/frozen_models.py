"""
A causal model of transformers whose attention is computed by a function of ours, and whose weights stay.

Training of gates and the analysis of a model's KV both look at queries, keys and values of each layer, and
change what attention makes of them. transformers looks its attention up by name, so no model's code is
touched.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention.gates import GateShape


def load(model: Path, *, name: str, attend: Callable[..., tuple[torch.Tensor, None]]) -> Any:
    """The model of a directory in float32, with `attend` in each layer; InvalidInput if it isn't one.

    `attend` gets the layer's module, then queries, keys and values, [sequences, heads, tokens, head size], a
    mask, and by name the scale of the logits and what else the model has.
    """
    from transformers import AttentionInterface, AutoModelForCausalLM

    AttentionInterface.register(name, attend)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, attn_implementation=name, dtype=torch.float32
        )
    except ValueError as error:
        fix = f"give a causal model of transformers: {error}"
        raise InvalidInput("model", str(model), fix=fix) from error
    return loaded.requires_grad_(requires_grad=False).eval()


def shape_of(config: Any) -> GateShape:
    """The layers, KV heads and head size of a model of transformers."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    return GateShape(
        layers=text.num_hidden_layers,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head=getattr(text, "head_dim", None) or text.hidden_size // heads,
    )
