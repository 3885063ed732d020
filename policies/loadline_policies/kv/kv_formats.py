"""
How many bytes a token's keys and values take in each type that vLLM can keep them in.

The names are those of `--kv-cache-dtype`. A format has bytes for one token in one KV head of one layer: the
numbers themselves and whatever scales stand beside them. Two families keep the first two and the last two
layers in 16 bits, because quality falls steeply otherwise. Layouts were read in vLLM 0.32
(`v1/attention/backends/triton_attn.py`, `flashinfer.py`, `ultraquant_attn.py` and
`layers/quantization/turboquant/config.py`). What a block's end or an alignment adds isn't in them.

Latent attention (MLA) keeps another thing than keys and values, and has no format here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Final

from loadline_policies.errors import InvalidInput

ELEMENT_BYTES: Final = 2
"""Of `auto`: vLLM computes models in 16 bits unless it is told otherwise."""

END_LAYERS: Final = 2
SCALE_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KvShape:
    """What a model keeps for a token: keys and values of `head` elements, in each KV head of each layer."""

    layers: int
    kv_heads: int
    query_heads: int
    head: int

    @property
    def key_bytes(self) -> int:
        """Bytes of one token's keys in all layers, in 16 bits; its values take as many."""
        return self.layers * self.kv_heads * self.head * ELEMENT_BYTES

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values in all layers, in 16 bits."""
        return 2 * self.key_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KvFormat:
    """A type of the KV cache. `slot_bytes` takes the head size, and gives keys and values together."""

    name: str
    slot_bytes: Callable[[int], int]
    spares_ends: bool = False
    aliases: tuple[str, ...] = ()
    note: str = ""

    def spares(self, layer: int, *, layers: int) -> bool:
        """Whether a layer stays in 16 bits."""
        ends = min(END_LAYERS, layers // 2)
        return self.spares_ends and not ends <= layer < layers - ends

    def token_bytes(self, shape: KvShape) -> int:
        """Bytes of one token's keys and values in all layers."""
        spared = sum(self.spares(layer, layers=shape.layers) for layer in range(shape.layers))
        slots = spared * 2 * shape.head * ELEMENT_BYTES
        slots += (shape.layers - spared) * self.slot_bytes(shape.head)
        return slots * shape.kv_heads


def _turboquant(key_bits: int, value_bits: int) -> Callable[[int], int]:
    """Packed keys with a norm (FP8: without), and packed values with a scale and a zero, of 2 bytes each."""

    def slot_bytes(head: int) -> int:
        keys = head if key_bits == 8 else ceil(head * key_bits / 8) + 2
        values = ceil(head * value_bits / 8) + 4
        return (keys + values + 1) // 2 * 2

    return slot_bytes


_SPARED = "the first and the last two layers stay in 16 bits"

FORMATS: Final = (
    KvFormat(
        name="auto",
        slot_bytes=lambda head: 2 * head * ELEMENT_BYTES,
        aliases=("float16", "bfloat16"),
        note="full KV; its drift is that of 16 bits, here bfloat16",
    ),
    KvFormat(
        name="fp8",
        slot_bytes=lambda head: 2 * head,
        aliases=("fp8_e4m3", "fp8_e5m2", "fp8_inc"),
        note="one scale for a tensor; here 1, as without calibration",
    ),
    KvFormat(name="fp8_per_token_head", slot_bytes=lambda head: 2 * (head + SCALE_BYTES)),
    KvFormat(name="int8_per_token_head", slot_bytes=lambda head: 2 * (head + SCALE_BYTES)),
    KvFormat(name="turboquant_k8v4", slot_bytes=_turboquant(8, 4), spares_ends=True, note=_SPARED),
    KvFormat(name="int4_per_token_head", slot_bytes=lambda head: 2 * (head // 2 + SCALE_BYTES)),
    KvFormat(
        name="nvfp4",
        slot_bytes=lambda head: 2 * (head // 2 + head // 16),
        aliases=("nvfp4_4over6",),
        note="needs a GPU with FP4 arithmetic",
    ),
    KvFormat(
        name="ultraquant_4bit",
        slot_bytes=lambda head: 2 * (head // 2 + head // 32),
        spares_ends=True,
        note=f"for AMD; {_SPARED}",
    ),
    KvFormat(name="turboquant_4bit_nc", slot_bytes=_turboquant(4, 4), spares_ends=True, note=_SPARED),
    KvFormat(name="turboquant_k3v4_nc", slot_bytes=_turboquant(3, 4), spares_ends=True, note=_SPARED),
    KvFormat(name="turboquant_3bit_nc", slot_bytes=_turboquant(3, 3), spares_ends=True, note=_SPARED),
)

BY_NAME: Final = MappingProxyType({one.name: one for one in FORMATS})


def find(name: str) -> KvFormat:
    """The format of a value of `--kv-cache-dtype`; InvalidInput if keys and values have none of that name."""
    for one in FORMATS:
        if name == one.name or name in one.aliases:
            return one
    raise InvalidInput("kvCache.dtype", name, fix=f"use one of {', '.join(BY_NAME)}")
