"""
Gates: trained per model, they say how fast a token's worth fades, from its value alone (TRIM-KV, arXiv
2512.03324).

A gate gives each token and KV head a retention β between 0 and 1. A token of age t is worth β^t, so those
with the smallest β are dropped first. Gates here look at the token's value in that head, which is in the KV
memory, and which rotary positions don't touch. Each head has its own, so ranks of tensor parallelism take
their heads' alone.

A file of gates is in safetensors, with what it was trained for in its metadata. It is refused for a model
with another fingerprint, which is of a model's configuration and of the first weights of each file, so that
reading it takes no time. A model of which only later weights were changed has the same one.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention.scores import Score

FORMAT: Final = "loadline-gates-1"
SAMPLE_BYTES: Final = 64 * 1024
CHANGING: Final = frozenset({"transformers_version", "_name_or_path", "torch_dtype", "dtype"})
"""Keys of a configuration that differ between files of one model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateShape:
    """For which model gates are: its layers and the KV heads and head size of each."""

    layers: int
    kv_heads: int
    head: int


@dataclass(frozen=True, slots=True)
class LayerGate:
    """The gates of one layer's heads: [heads, inner, head size], [heads, inner], [heads, inner], [heads]."""

    inward: torch.Tensor
    inward_bias: torch.Tensor
    outward: torch.Tensor
    outward_bias: torch.Tensor

    def log_retention(self, values: torch.Tensor) -> torch.Tensor:
        """log β of tokens, [heads, tokens], from their values, [heads, tokens, head size]."""
        inner = torch.einsum("htd,hid->hti", values.float(), self.inward) + self.inward_bias[:, None]
        outer = torch.einsum("hti,hi->ht", torch.nn.functional.silu(inner), self.outward)
        return torch.nn.functional.logsigmoid(outer + self.outward_bias[:, None])

    def heads(self, first: int, count: int) -> "LayerGate":
        """Only those of some heads."""
        return LayerGate(*(part[first : first + count] for part in self.parts))

    @property
    def parts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.inward, self.inward_bias, self.outward, self.outward_bias


class GateScores:
    """TRIM-KV's scores: the worth of each token at its age, log β × age, by each layer's gates."""

    def __init__(self, gates: Sequence[LayerGate]) -> None:
        self._gates = gates

    def __call__(self, layer: str, computed_tokens: int) -> Score:
        gate = self._gates[layer_number(layer)]

        def score(_keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            return gate.log_retention(values) * (computed_tokens - positions)

        return score


def layer_number(layer: str) -> int:
    """The number of a layer, from its name in vLLM such as `model.layers.7.self_attn.attn`."""
    found = re.search(r"\blayers\.(\d+)\.", layer)
    if found is None:
        raise InvalidInput("layer", layer, fix="serve a model whose layers are numbered")
    return int(found[1])


NAMES: Final = ("inward", "inward_bias", "outward", "outward_bias")


def write(
    gates: list[LayerGate], path: Path, *, fingerprint: str, kept_tokens: int, notes: dict[str, str]
) -> None:
    """Write gates for the model with this fingerprint, trained for so many kept tokens."""
    tensors = {
        f"layers.{number}.{name}": part.detach().float().contiguous()
        for number, gate in enumerate(gates)
        for name, part in zip(NAMES, gate.parts, strict=True)
    }
    heads, _, head = gates[0].inward.shape
    shape = {"layers": len(gates), "kv_heads": heads, "head": head}
    about = {
        "format": FORMAT,
        "model": fingerprint,
        "kept_tokens": str(kept_tokens),
        "shape": json.dumps(shape),
    }
    fresh = path.with_name(f"{path.name}.part")
    save_file(tensors, fresh, metadata={**notes, **about})
    fresh.rename(path)


def check(path: Path, *, fingerprint: str) -> GateShape:
    """What the gates of a file are for; InvalidInput unless they are this model's."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            names = set(file.keys())
        shape = GateShape(**json.loads(about.get("shape", "{}")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(
            "retention.gates", str(path), fix=f"give a file of train-gates: {error}"
        ) from error
    except Exception as error:  # safetensors raises its own for a damaged file
        raise InvalidInput("retention.gates", str(path), fix=f"write the file anew: {error}") from error
    if about.get("format") != FORMAT:
        raise InvalidInput("retention.gates", about.get("format"), fix=f"give a file of format {FORMAT}")
    if about.get("model") != fingerprint:
        fix = f"train gates for this model, whose fingerprint is {fingerprint}"
        raise InvalidInput("retention.gates", about.get("model"), fix=fix)
    expected = {f"layers.{number}.{name}" for number in range(shape.layers) for name in NAMES}
    if names != expected:
        raise InvalidInput(
            "retention.gates", str(path), fix=f"write the file anew: it lacks {expected - names}"
        )
    return shape


def load(path: Path, *, fingerprint: str) -> list[LayerGate]:
    """The gates of each layer; InvalidInput unless they are this model's."""
    shape = check(path, fingerprint=fingerprint)
    with safe_open(path, "pt") as file:
        gates = [
            LayerGate(*(file.get_tensor(f"layers.{number}.{name}") for name in NAMES))
            for number in range(shape.layers)
        ]
    for gate in gates:
        heads, inner, head = gate.inward.shape
        parts = [tuple(part.shape) for part in gate.parts[1:]]
        if (heads, head) != (shape.kv_heads, shape.head) or parts != [
            (heads, inner),
            (heads, inner),
            (heads,),
        ]:
            raise InvalidInput("retention.gates", str(path), fix="write the file anew: its shapes don't fit")
        if not all(part.isfinite().all() for part in gate.parts):
            raise InvalidInput(
                "retention.gates", str(path), fix="train again: it has numbers that aren't finite"
            )
    return gates


def fingerprint_of(model: Path) -> str:
    """The fingerprint of a model in the directory that engines load it from; InvalidInput without weights."""
    digest = hashlib.sha256()
    try:
        config = json.loads((model / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput("model", str(model), fix=f"give a directory with config.json: {error}") from error
    kept = {key: value for key, value in config.items() if key not in CHANGING}
    digest.update(json.dumps(kept, sort_keys=True).encode())
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise InvalidInput("model", str(model), fix="give a directory with *.safetensors")
    for file in files:
        with file.open("rb") as opened:
            header = int.from_bytes(opened.read(8), "little")
            digest.update(opened.read(min(header, 16 * 1024 * 1024)))
            digest.update(opened.read(SAMPLE_BYTES))
    return digest.hexdigest()
