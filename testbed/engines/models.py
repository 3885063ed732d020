"""
A model that any CPU serves: small, the same on every machine, and able to answer.

Weights that an engine invents (`--load-format dummy`) say the same to everybody, so a
broken transfer of KV could go unseen. These are drawn from a seed and saved; they know
a hundred words, answer every prompt differently, and never fall silent, because no
other token has a row in the last matrix. Nothing but NumPy is needed to make them.
"""

import hashlib
import json
import math
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.cluster.toolchains import cache

Weights = dict[str, NDArray[np.float32]]

SEED = 1876
"""The year of the act of Parliament that put the load line on every ship."""

CONTEXT_TOKENS = 2048
LAYERS, HIDDEN, INNER = 3, 256, 512
HEADS, KV_HEADS, HEAD = 4, 2, 64

LOGIT_SCALE = 6.0
"""Chosen: a token without a row (logit 0) has no chance against a hundred words, not even when sampled."""

VOCABULARY = """
aft anchor ballast barge bay beam berth bilge boat bollard boom bow breeze bridge brig bulkhead buoy
cabin cable calm canvas cape captain cargo channel chart clipper coast compass course crane crew
current deck depth dinghy dock draught drift ebb fathom fender ferry fleet float flood fog fore
freight galley gale gangway gull gunwale halyard harbour hatch haul haven hawser heel helm hold hull
jetty keel knot ladder lagoon lantern launch league lee lighthouse load log mainsail mark mast mate
mooring oar ocean pilot port prow quay reef rigging rope rudder sail sailor sea shoal shore signal
skipper sound spray starboard stern storm strait surf swell tide tiller timber trim tug vessel
voyage wake watch water wave weather wharf wheel wind yard
"""
WORDS = tuple(VOCABULARY.split())

SPECIAL = ("<pad>", "<bos>", "<eos>", "<user>", "<assistant>")

CHAT_TEMPLATE = (
    "<bos>{% for message in messages %}"
    "{{ '<assistant>' if message['role'] == 'assistant' else '<user>' }}{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def ensure() -> Path:
    """The model in the cache, made there if it isn't; another recipe gets another directory."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    target = cache() / "engines" / "models" / recipe
    if not target.exists():
        fresh = target.with_name(f".{recipe}-{os.getpid()}")
        write(fresh)
        try:
            fresh.rename(target)
        except OSError:  # somebody was quicker, and made the same
            shutil.rmtree(fresh)
    return target


def write(directory: Path) -> None:
    """Write the model as engines load it: configuration, tokenizer and weights."""
    vocabulary, merges = words_in_pieces()
    write_documents(directory, vocabulary, merges, config=config(len(vocabulary)))
    said = [vocabulary["Ġ" + word] for word in WORDS]
    (directory / "model.safetensors").write_bytes(safetensors(weights(len(vocabulary), said)))


def write_documents(
    directory: Path, vocabulary: dict[str, int], merges: list[list[str]], *, config: dict[str, Any]
) -> None:
    """Write what engines read beside the weights: the configuration and the tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = {
        "config.json": config,
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        "tokenizer.json": tokenizer(vocabulary, merges),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "model_max_length": CONTEXT_TOKENS,
            "chat_template": CHAT_TEMPLATE,
        },
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def config(vocabulary_size: int) -> dict[str, Any]:
    """What engines read first."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary_size,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }


def words_in_pieces() -> tuple[dict[str, int], list[list[str]]]:
    """The vocabulary, every byte and every word with its beginnings, and the merges that lead there."""
    names = [*SPECIAL, *byte_names()]
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        for end in range(len(word)):
            merges["Ġ" + word[:end], word[end]] = None
    names += ["".join(pair) for pair in merges]
    return {name: number for number, name in enumerate(names)}, [list(pair) for pair in merges]


def byte_names() -> list[str]:
    """One printable character for each byte, as byte-level tokenizers have it since GPT-2."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in plain)
    names = {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [names[byte] for byte in range(256)]


def tokenizer(vocabulary: dict[str, int], merges: list[list[str]]) -> dict[str, Any]:
    """A byte-level BPE tokenizer: it can read anything."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": name, **added} for number, name in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": level,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def weights(vocabulary_size: int, said: list[int]) -> Weights:
    """The matrices, from the seed; only the tokens in `said` can be answered with."""
    random = np.random.Generator(np.random.PCG64(SEED))

    def matrix(rows: int, columns: int, *, scale: float = 1.0) -> NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) * scale / math.sqrt(columns)).astype(np.float32)

    ones = np.ones(HIDDEN, np.float32)
    made: Weights = {"model.embed_tokens.weight": matrix(vocabulary_size, HIDDEN, scale=math.sqrt(HIDDEN))}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        made |= {
            f"{at}.input_layernorm.weight": ones,
            f"{at}.self_attn.q_proj.weight": matrix(HEADS * HEAD, HIDDEN, scale=1.5),
            f"{at}.self_attn.k_proj.weight": matrix(KV_HEADS * HEAD, HIDDEN, scale=1.5),
            f"{at}.self_attn.v_proj.weight": matrix(KV_HEADS * HEAD, HIDDEN),
            f"{at}.self_attn.o_proj.weight": matrix(HIDDEN, HEADS * HEAD, scale=2.0),
            f"{at}.post_attention_layernorm.weight": ones,
            f"{at}.mlp.gate_proj.weight": matrix(INNER, HIDDEN),
            f"{at}.mlp.up_proj.weight": matrix(INNER, HIDDEN),
            f"{at}.mlp.down_proj.weight": matrix(HIDDEN, INNER),
        }
    last = np.zeros((vocabulary_size, HIDDEN), np.float32)
    last[said] = matrix(len(said), HIDDEN, scale=LOGIT_SCALE)
    return made | {"model.norm.weight": ones, "lm_head.weight": last}


def safetensors(named: Weights) -> bytes:
    """The file format: the length of a JSON header, the header, and the arrays one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in named.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in named.values())
