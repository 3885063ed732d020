"""From which context on a decode step reads more KV than weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.rooflines import DecodeReads
from loadline_policies.models.gpu_memories import Gpu

LLAMA = DecodeReads(weight_bytes=15_000_000_000, token_bytes=131_072)
GPU = Gpu(name="drawn", bytes_per_s=1e12, source="drawn")


@pytest.mark.parametrize(("batch", "expected"), [(1, 114_441), (8, 14_306), (32, 3_577), (128, 895)])
def test_kv_dominates_from_where_it_is_as_large_as_the_weights(batch: int, expected: int) -> None:
    assert LLAMA.kv_dominates_from(batch) == expected


@given(st.integers(1, 1024), st.integers(1, 10**12), st.floats(1.0, 1e7))
def test_at_that_context_kv_is_half_and_below_it_less(batch: int, weights: int, token_bytes: float) -> None:
    reads = DecodeReads(weight_bytes=weights, token_bytes=token_bytes)
    context = reads.kv_dominates_from(batch)
    assert reads.kv_share(batch=batch, context_tokens=context) >= 0.5 - 1e-9
    assert reads.kv_share(batch=batch, context_tokens=context - 1) < 0.5 + 1e-9


def test_a_step_takes_as_long_as_its_bytes() -> None:
    assert LLAMA.least_step_s(GPU, batch=2, context_tokens=1000) == pytest.approx(
        (15e9 + 2 * 1000 * 131_072) / 1e12
    )
