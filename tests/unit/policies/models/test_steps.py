"""The time of an engine's step: the sum of what is in its batch, and nothing for an empty one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.models import step_parameters
from loadline_policies.models.steps import Batch, pairs, step_s

MODEL = step_parameters.load().steps
TOKENS = st.integers(0, 100_000)


def test_an_empty_step_takes_no_time() -> None:
    assert step_s(MODEL, Batch()) == 0.0


def test_a_step_that_does_both_is_the_sum_with_one_base() -> None:
    decode = Batch(decoding=10, context_tokens=5_000)
    prefill = Batch(prefill_tokens=1_000, prefill_pairs=pairs(before=0, tokens=1_000))
    both = replace(prefill, decoding=10, context_tokens=5_000)
    expected = step_s(MODEL, decode) + step_s(MODEL, prefill) - MODEL.base_s
    assert step_s(MODEL, both) == pytest.approx(expected)


@given(TOKENS, TOKENS)
def test_chunks_of_a_prompt_have_the_pairs_of_the_whole(first: int, second: int) -> None:
    chunks = pairs(before=0, tokens=first) + pairs(before=first, tokens=second)
    assert chunks == pairs(before=0, tokens=first + second)


def test_the_engine_s_steps_are_those_that_were_measured() -> None:
    """One decoding request, a full batch, and a prompt of two thousand tokens less its front end."""
    assert step_s(MODEL, Batch(decoding=1, context_tokens=350)) == pytest.approx(4.38e-3, rel=0.02)
    assert step_s(MODEL, Batch(decoding=193, context_tokens=193 * 2_997)) == pytest.approx(26.8e-3, rel=0.1)
    prompt = Batch(prefill_tokens=2_134, prefill_pairs=pairs(before=0, tokens=2_134))
    assert step_s(MODEL, prompt) == pytest.approx(50.0e-3 - 18.55e-3 + MODEL.base_s, rel=0.05)
