"""Bytes of a token in each type of vLLM's KV cache, and that every type of the API has its bytes or none."""

import pytest

from loadline_api.kv_cache import KvDtype
from loadline_policies.errors import InvalidInput
from loadline_policies.kv.kv_formats import BY_NAME, FORMATS, KvShape, find

LLAMA = KvShape(layers=32, kv_heads=8, query_heads=32, head=128)
OF_MLA = {"fp8_ds_mla", "nvfp4_ds_mla"}


def slots(name: str, *, head: int = 128) -> int:
    return find(name).slot_bytes(head)


def test_every_type_of_the_api_but_those_of_latent_attention_has_a_format() -> None:
    known = {name for one in FORMATS for name in (one.name, *one.aliases)}
    assert known == {one.value for one in KvDtype} - OF_MLA


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", 512),
        ("bfloat16", 512),
        ("fp8_e5m2", 256),
        ("int8_per_token_head", 264),
        ("fp8_per_token_head", 264),
        ("int4_per_token_head", 136),
        ("nvfp4", 144),
        ("nvfp4_4over6", 144),
        ("ultraquant_4bit", 136),  # as its source says: D=128 → 136 B/slot
        ("turboquant_k8v4", 196),
        ("turboquant_4bit_nc", 134),
        ("turboquant_k3v4_nc", 118),
        ("turboquant_3bit_nc", 102),
    ],
)
def test_bytes_of_a_head_of_128_elements(name: str, expected: int) -> None:
    assert slots(name) == expected


def test_full_kv_is_twice_the_keys() -> None:
    assert find("auto").token_bytes(LLAMA) == LLAMA.token_bytes == 2 * LLAMA.key_bytes == 131_072


def test_the_first_and_the_last_two_layers_are_spared() -> None:
    kind = find("turboquant_3bit_nc")
    assert [layer for layer in range(32) if kind.spares(layer, layers=32)] == [0, 1, 30, 31]
    assert kind.token_bytes(LLAMA) == 8 * (4 * 512 + 28 * 102)


@pytest.mark.parametrize(("layers", "spared"), [(1, 0), (2, 2), (3, 2), (4, 4), (5, 4)])
def test_at_most_all_layers_are_spared(layers: int, spared: int) -> None:
    kind = find("turboquant_4bit_nc")
    assert sum(kind.spares(layer, layers=layers) for layer in range(layers)) == spared


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"auto"}))
def test_every_format_is_smaller_than_16_bits(name: str) -> None:
    assert BY_NAME[name].token_bytes(LLAMA) < LLAMA.token_bytes


def test_a_type_of_latent_attention_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"kvCache\.dtype is 'fp8_ds_mla'"):
        find("fp8_ds_mla")
