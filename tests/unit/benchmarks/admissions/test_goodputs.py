"""Goodput counts the tokens of requests that met their objectives, and a ratio has an interval over seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.admissions import goodputs
from benchmarks.admissions.goodputs import Served, is_interactive, is_smooth

FIGURES = st.lists(st.floats(1.0, 1e3), min_size=2, max_size=5)


def served(arrived_s: float = 0.0, *, ttft_s: float = 1.0, gap_s: float = 0.05, tokens: int = 11) -> Served:
    return Served(
        arrived_s=arrived_s,
        prompt_tokens=100,
        output_tokens=tokens,
        first_s=arrived_s + ttft_s,
        last_s=arrived_s + ttft_s + 0.5,
        longest_gap_s=gap_s,
        preemptions=0,
    )


@pytest.mark.parametrize(
    ("one", "smooth", "interactive"),
    [
        (served(), True, True),
        (served(ttft_s=2.1), True, False),
        (served(ttft_s=10.1), False, False),
        (served(gap_s=1.6), False, True),
        (served(tokens=4), True, False),
        (served(tokens=1), True, False),
    ],
)
def test_objectives(one: Served, *, smooth: bool, interactive: bool) -> None:
    assert (is_smooth(one), is_interactive(one)) == (smooth, interactive)


def test_the_first_fifth_is_not_judged() -> None:
    assert [one.arrived_s for one in goodputs.judged([served(float(at)) for at in range(10)])] == list(
        range(2, 10)
    )


def test_goodput_is_the_tokens_in_time_by_the_second() -> None:
    rows = [served(0.0), served(1.0, gap_s=9.0), served(4.0, tokens=9)]
    assert goodputs.goodput(rows, is_smooth) == (11 + 9) / 4
    assert goodputs.attained(rows, is_smooth) == pytest.approx(2 / 3)


@given(FIGURES)
def test_equal_arms_have_a_ratio_of_one_and_no_doubt(figures: list[float]) -> None:
    found = goodputs.ratio(figures, figures)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


@given(FIGURES)
def test_a_ratio_lies_within_its_interval_s_extremes(figures: list[float]) -> None:
    ours = [figure * 2 for figure in figures]
    ours[0] = figures[0]
    found = goodputs.ratio(ours, figures)
    assert found is not None
    assert 1.0 - 1e-9 <= found.low <= found.high <= 2.0 + 1e-9


def test_there_is_no_ratio_to_nothing() -> None:
    assert goodputs.ratio([1.0, 2.0], [0.0, 0.0]) is None
