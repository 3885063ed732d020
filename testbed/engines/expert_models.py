"""
Small mixture-of-experts models that any CPU serves, one of each architecture that routes differently.

They have four layers of eight experts, two for each token, and speak as `models` does: the same tokenizer,
weights from a seed, and a last matrix that knows words only. The router's rows have different lengths, so
that some experts get several times as many tokens as others; else there would be nothing to balance.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.cluster.toolchains import cache
from testbed.engines import models
from testbed.engines.models import Weights

SEED = 1876
LAYERS, HIDDEN, INNER = 4, 64, 64
HEADS, HEAD = 2, 32
EXPERTS, TOP_K = 8, 2

LATENT, ROPE, NOPE, VALUE = 32, 32, 32, 32
"""DeepSeek's attention: the width of its latent, and of a head's three parts."""

ROUTER_SCALES = np.linspace(0.5, 3.0, EXPERTS, dtype=np.float32)
"""Chosen: the longest row wins several times as many tokens as the shortest."""

EXPERT_SCALE = 3.0
"""Chosen: experts say enough for the answer to depend on which of them a token got."""

Matrix = Callable[..., NDArray[np.float32]]
Names = tuple[str, str, str]

PROJECTIONS: Names = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Architecture:
    """What an engine reads of an architecture, and the matrices of one of its layers."""

    config: Mapping[str, Any]
    layer: Callable[[int, Matrix], Weights]

    @property
    def expert_layers(self) -> int:
        """How many layers have experts."""
        return LAYERS - int(self.config.get("first_k_dense_replace", 0))


def _ones(size: int) -> NDArray[np.float32]:
    return np.ones(size, np.float32)


def _attention(matrix: Matrix, norms: Mapping[str, int]) -> Weights:
    wide = HEADS * HEAD
    return {
        "self_attn.q_proj.weight": matrix(wide, HIDDEN, scale=1.5),
        "self_attn.k_proj.weight": matrix(wide, HIDDEN, scale=1.5),
        "self_attn.v_proj.weight": matrix(wide, HIDDEN),
        "self_attn.o_proj.weight": matrix(HIDDEN, wide, scale=2.0),
        **{f"self_attn.{name}.weight": _ones(size) for name, size in norms.items()},
    }


def _latent_attention(matrix: Matrix) -> Weights:
    return {
        "self_attn.q_proj.weight": matrix(HEADS * (NOPE + ROPE), HIDDEN, scale=1.5),
        "self_attn.kv_a_proj_with_mqa.weight": matrix(LATENT + ROPE, HIDDEN, scale=1.5),
        "self_attn.kv_a_layernorm.weight": _ones(LATENT),
        "self_attn.kv_b_proj.weight": matrix(HEADS * (NOPE + VALUE), LATENT),
        "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * VALUE, scale=2.0),
    }


def _feed_forward(at: str, matrix: Matrix, names: Names = PROJECTIONS) -> Weights:
    gate, up, down = names
    return {
        f"{at}.{gate}.weight": matrix(INNER, HIDDEN, scale=EXPERT_SCALE),
        f"{at}.{up}.weight": matrix(INNER, HIDDEN, scale=EXPERT_SCALE),
        f"{at}.{down}.weight": matrix(HIDDEN, INNER, scale=EXPERT_SCALE),
    }


def _experts(at: str, matrix: Matrix, names: Names = PROJECTIONS) -> Weights:
    made: Weights = {f"{at}.gate.weight": matrix(EXPERTS, HIDDEN) * ROUTER_SCALES[:, np.newaxis]}
    for expert in range(EXPERTS):
        made |= _feed_forward(f"{at}.experts.{expert}", matrix, names)
    return made


def _mixtral(_: int, matrix: Matrix) -> Weights:
    experts = _experts("block_sparse_moe", matrix, ("w1", "w3", "w2"))
    return {**_attention(matrix, {}), **experts}


def _olmoe(_: int, matrix: Matrix) -> Weights:
    norms = {"q_norm": HEADS * HEAD, "k_norm": HEADS * HEAD}
    return {**_attention(matrix, norms), **_experts("mlp", matrix)}


def _qwen3(_: int, matrix: Matrix) -> Weights:
    return {**_attention(matrix, {"q_norm": HEAD, "k_norm": HEAD}), **_experts("mlp", matrix)}


def _deepseek(layer: int, matrix: Matrix) -> Weights:
    if layer == 0:
        return {**_latent_attention(matrix), **_feed_forward("mlp", matrix)}
    shared = _feed_forward("mlp.shared_experts", matrix)
    return {**_latent_attention(matrix), **_experts("mlp", matrix), **shared}


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mixtral": Architecture(
            {
                "architectures": ["MixtralForCausalLM"],
                "model_type": "mixtral",
                "num_local_experts": EXPERTS,
                "num_experts_per_tok": TOP_K,
                "sliding_window": None,
            },
            _mixtral,
        ),
        "olmoe": Architecture(
            {
                "architectures": ["OlmoeForCausalLM"],
                "model_type": "olmoe",
                "num_experts": EXPERTS,
                "num_experts_per_tok": TOP_K,
                "norm_topk_prob": False,
            },
            _olmoe,
        ),
        "qwen3moe": Architecture(
            {
                "architectures": ["Qwen3MoeForCausalLM"],
                "model_type": "qwen3_moe",
                "moe_intermediate_size": INNER,
                "num_experts": EXPERTS,
                "num_experts_per_tok": TOP_K,
                "norm_topk_prob": True,
                "decoder_sparse_step": 1,
                "mlp_only_layers": [],
            },
            _qwen3,
        ),
        "deepseek-v2": Architecture(
            {
                "architectures": ["DeepseekV2ForCausalLM"],
                "model_type": "deepseek_v2",
                "moe_intermediate_size": INNER,
                "n_routed_experts": EXPERTS,
                "n_shared_experts": 1,
                "num_experts_per_tok": TOP_K,
                "first_k_dense_replace": 1,
                "moe_layer_freq": 1,
                "q_lora_rank": None,
                "kv_lora_rank": LATENT,
                "qk_rope_head_dim": ROPE,
                "qk_nope_head_dim": NOPE,
                "v_head_dim": VALUE,
                "topk_method": "group_limited_greedy",
                "n_group": 4,
                "topk_group": 2,
                "norm_topk_prob": False,
                "routed_scaling_factor": 1.0,
                "scoring_func": "softmax",
            },
            _deepseek,
        ),
    }
)
"""By the name of the directory. DeepSeek chooses among the experts of two of four groups only."""


def ensure(name: str) -> Path:
    """The model in the cache, made there if it isn't; another recipe gets another directory."""
    told = b"".join(Path(module).read_bytes() for module in (__file__, models.__file__))
    target = cache() / "engines" / "models" / hashlib.sha256(told).hexdigest()[:12] / name
    if not target.exists():
        fresh = target.with_name(f".{name}-{os.getpid()}")
        write(fresh, name)
        try:
            fresh.rename(target)
        except OSError:  # another process made the same model in the meantime
            shutil.rmtree(fresh)
    return target


def write(directory: Path, name: str) -> None:
    """Write a model as engines load it."""
    architecture = ARCHITECTURES[name]
    vocabulary, merges = models.words_in_pieces()
    said = [vocabulary["Ġ" + word] for word in models.WORDS]
    models.write_documents(directory, vocabulary, merges, config=config(architecture, len(vocabulary)))
    made = weights(architecture, len(vocabulary), said)
    (directory / "model.safetensors").write_bytes(models.safetensors(made))


def config(architecture: Architecture, vocabulary_size: int) -> dict[str, Any]:
    """What engines read first."""
    common = {
        "vocab_size": vocabulary_size,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": models.CONTEXT_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }
    latent = "kv_lora_rank" in architecture.config
    return {**common, **({} if latent else {"head_dim": HEAD}), **architecture.config}


def weights(architecture: Architecture, vocabulary_size: int, said: list[int]) -> Weights:
    """The matrices, from the seed; only the tokens in `said` can be answered with."""
    random = np.random.Generator(np.random.PCG64(SEED))

    def matrix(rows: int, columns: int, *, scale: float = 1.0) -> NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) * scale / math.sqrt(columns)).astype(np.float32)

    made: Weights = {"model.embed_tokens.weight": matrix(vocabulary_size, HIDDEN, scale=math.sqrt(HIDDEN))}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        made[f"{at}.input_layernorm.weight"] = _ones(HIDDEN)
        made[f"{at}.post_attention_layernorm.weight"] = _ones(HIDDEN)
        made |= {f"{at}.{name}": array for name, array in architecture.layer(layer, matrix).items()}
    last = np.zeros((vocabulary_size, HIDDEN), np.float32)
    last[said] = matrix(len(said), HIDDEN, scale=models.LOGIT_SCALE)
    return made | {"model.norm.weight": _ones(HIDDEN), "lm_head.weight": last}
