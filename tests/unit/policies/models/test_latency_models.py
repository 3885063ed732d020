"""Times of prefill and decode: exact at the knots, and never shorter at a lower clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.models import latencies, parameters

MODEL = parameters.load().latencies
CLOCKS = st.floats(min_value=210.0, max_value=1410.0)


@pytest.mark.parametrize(
    ("tokens", "seconds"), list(zip(MODEL.prefill_tokens, MODEL.prefill_seconds, strict=True))
)
def test_prefill_passes_through_its_knots(tokens: float, seconds: float) -> None:
    assert latencies.prefill_s(MODEL, prompt_tokens=tokens, clock_mhz=1410.0) == pytest.approx(seconds)


def test_a_tiny_prompt_takes_as_long_as_the_first_knot() -> None:
    assert latencies.prefill_s(MODEL, prompt_tokens=1, clock_mhz=1410.0) == MODEL.prefill_seconds[0]


def test_a_huge_prompt_goes_on_along_the_last_line() -> None:
    slope = (MODEL.prefill_seconds[-1] - MODEL.prefill_seconds[-2]) / (8192 - 4096)
    expected = MODEL.prefill_seconds[-1] + 1000 * slope
    assert latencies.prefill_s(MODEL, prompt_tokens=9192, clock_mhz=1410.0) == pytest.approx(expected)


def test_decode_hardly_notices_a_lower_clock() -> None:
    assert latencies.decode_slowdown(MODEL, 1110.0) == pytest.approx(1.027, abs=0.001)
    assert latencies.prefill_slowdown(MODEL, 1110.0) == pytest.approx(1.162, abs=0.001)


def test_arithmetic_binds_decode_at_the_brake() -> None:
    assert latencies.decode_slowdown(MODEL, 288.0) == pytest.approx(0.45 * 1410 / 288)


@given(CLOCKS, CLOCKS, st.integers(1, 16000), st.integers(1, 16))
def test_a_lower_clock_never_shortens_a_phase(one: float, other: float, tokens: int, batch: int) -> None:
    low, high = sorted((one, other))
    assert latencies.prefill_s(MODEL, prompt_tokens=tokens, clock_mhz=low) >= latencies.prefill_s(
        MODEL, prompt_tokens=tokens, clock_mhz=high
    )
    assert latencies.decode_s(MODEL, batch=batch, clock_mhz=low) >= latencies.decode_s(
        MODEL, batch=batch, clock_mhz=high
    )


@given(st.integers(1, 16000), st.integers(1, 16000))
def test_a_longer_prompt_never_takes_less(one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert latencies.prefill_s(MODEL, prompt_tokens=short, clock_mhz=900.0) <= latencies.prefill_s(
        MODEL, prompt_tokens=long, clock_mhz=900.0
    )
