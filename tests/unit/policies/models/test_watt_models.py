"""Watts by phase, and the clock that fits a limit: two directions of one law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.models import parameters, watts

MODEL = parameters.load().watts
CLOCKS = st.floats(min_value=210.0, max_value=1410.0)
TOKENS = st.integers(1, 16000)
BATCHES = st.integers(1, 16)
LIMITS = st.floats(min_value=100.0, max_value=400.0)


def test_idle_is_a_fifth_of_the_tdp() -> None:
    assert watts.idle_watts(MODEL) == 80.0


def test_prefill_at_1_1_ghz_saves_a_fifth_of_its_peak() -> None:
    full = watts.prefill_watts(MODEL, prompt_tokens=4096, clock_mhz=1410.0)
    assert watts.prefill_watts(MODEL, prompt_tokens=4096, clock_mhz=1110.0) == pytest.approx(
        0.8 * full, rel=0.02
    )


@given(CLOCKS, CLOCKS, TOKENS, BATCHES)
def test_a_lower_clock_never_raises_watts(one: float, other: float, tokens: int, batch: int) -> None:
    low, high = sorted((one, other))
    assert watts.prefill_watts(MODEL, prompt_tokens=tokens, clock_mhz=low) <= watts.prefill_watts(
        MODEL, prompt_tokens=tokens, clock_mhz=high
    )
    assert watts.decode_watts(MODEL, batch=batch, clock_mhz=low) <= watts.decode_watts(
        MODEL, batch=batch, clock_mhz=high
    )


@given(LIMITS, TOKENS)
def test_prefill_fits_a_limit_unless_at_the_lowest_clock(limit: float, tokens: int) -> None:
    mhz = watts.prefill_mhz_within(MODEL, prompt_tokens=tokens, limit_watts=limit)
    draw = watts.prefill_watts(MODEL, prompt_tokens=tokens, clock_mhz=mhz)
    assert draw <= limit + 1e-6 or mhz == MODEL.min_mhz


@given(LIMITS, BATCHES)
def test_decode_fits_a_limit_unless_at_the_lowest_clock(limit: float, batch: int) -> None:
    mhz = watts.decode_mhz_within(MODEL, batch=batch, limit_watts=limit)
    draw = watts.decode_watts(MODEL, batch=batch, clock_mhz=mhz)
    assert draw <= limit + 1e-6 or mhz == MODEL.min_mhz


@given(CLOCKS, TOKENS)
def test_the_clock_of_a_draw_is_the_clock_that_drew_it(mhz: float, tokens: int) -> None:
    draw = watts.prefill_watts(MODEL, prompt_tokens=tokens, clock_mhz=mhz)
    assert watts.prefill_mhz_within(MODEL, prompt_tokens=tokens, limit_watts=draw) == pytest.approx(mhz)
