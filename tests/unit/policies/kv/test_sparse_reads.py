"""Bytes that methods of sparse reading move, worked out by hand for one shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.analysis_results import SparseRead
from loadline_policies.kv.kv_formats import KvShape
from loadline_policies.kv.sparse_reads import reads

LLAMA = KvShape(layers=32, kv_heads=8, query_heads=32, head=128)
TOKENS = 131_072


def by_method(tokens: int = TOKENS, *, share: float = 0.1) -> dict[str, SparseRead]:
    return {one.method: one for one in reads(LLAMA, context_tokens=tokens, mass_share=share)}


def test_full_attention_reads_everything() -> None:
    assert by_method()["full attention"].gpu_bytes == TOKENS * 131_072


def test_the_ideal_choice_reads_the_measured_share() -> None:
    assert by_method(share=0.25)["the tokens of 95 % of the mass"].gpu_bytes == TOKENS * 131_072 // 4


def test_squeezed_attention_reads_centroids_and_a_third() -> None:
    expected = TOKENS * (0.05 * 65_536 + 131_072 / 3.1)
    assert by_method()["Squeezed Attention"].gpu_bytes == pytest.approx(expected, rel=1e-6)


def test_shadowkv_fetches_values_and_reads_low_rank_keys() -> None:
    one = by_method()["ShadowKV"]
    landmarks = TOKENS // 8 * 65_536
    low_rank = 32 * 2 * 160 * (2048 + 1024)
    assert one.gpu_bytes == landmarks + low_rank + 2048 * 65_536 + 416 * 131_072
    assert one.link_bytes == round(0.4 * 2048 * 65_536)


def test_retrieval_attention_reads_the_host_s_memory() -> None:
    one = by_method()["RetrievalAttention"]
    assert one.gpu_bytes == 640 * 131_072
    assert one.host_bytes == round((TOKENS - 640) * 0.03 * 131_072)
    assert one.link_bytes == 32 * 32 * 257 * 2


@given(st.integers(1, 1_000_000), st.floats(0.0, 1.0))
def test_nothing_is_negative_and_each_names_its_source(tokens: int, share: float) -> None:
    for one in reads(LLAMA, context_tokens=tokens, mass_share=share):
        assert min(one.gpu_bytes, one.link_bytes, one.host_bytes) >= 0
        assert one.source
        assert one.formula


def test_what_is_recalled_is_said_to_be() -> None:
    assert "unverified" in by_method()["RetrievalAttention"].source
