"""Gaps have a mean of 1, what is left of one has its law's equilibrium, and carrying keeps the quantile."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.arrays import Floats
from loadline_sim.traffic import gap_laws

LAWS = [(False, 0.05), (False, 0.5), (False, 1.0), (False, 6.0), (True, 0.3), (True, 1.0), (True, 3.0)]
LAW = st.one_of(
    st.tuples(st.just(False), st.floats(gap_laws.LEAST_GAMMA_SHAPE, gap_laws.MOST_SHAPE)),
    st.tuples(st.just(True), st.floats(0.1, 20.0)),
)


def many(law: tuple[bool, float], count: int = 4_000) -> Floats:
    dice = np.random.default_rng(1)
    return np.array([gap_laws.drawn(*law, dice) for _ in range(count)])


def many_first(law: tuple[bool, float], count: int = 4_000) -> Floats:
    dice = np.random.default_rng(2)
    return np.array([gap_laws.first_drawn(*law, dice) for _ in range(count)])


@pytest.mark.parametrize("law", LAWS)
def test_gaps_have_a_mean_of_one(law: tuple[bool, float]) -> None:
    gaps = many(law)
    assert gaps.mean() == pytest.approx(1.0, abs=5 * gaps.std() / math.sqrt(gaps.size))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_probabilities_are_those_of_what_is_drawn(law: tuple[bool, float], share: float) -> None:
    for drawn, longer in ((many(law), gap_laws.longer), (many_first(law), gap_laws.left_longer)):
        assert longer(*law, float(np.quantile(drawn, share))) == pytest.approx(1.0 - share, abs=0.03)


@pytest.mark.parametrize(
    ("a", "x", "expected"),
    [
        (1.0, 2.5, math.exp(-2.5)),
        (0.5, 0.81, math.erfc(0.9)),
        (3.0, 4.0, math.exp(-4.0) * (1 + 4 + 8)),
        (0.5, 25.0, math.erfc(5.0)),
        (7.0, 0.0, 1.0),
    ],
)
def test_the_incomplete_gamma_function_is_that_of_the_book(a: float, x: float, expected: float) -> None:
    assert gap_laws.upper_gamma(a, x) == pytest.approx(expected, rel=1e-12)


def test_series_and_fraction_meet_at_the_largest_shape() -> None:
    below, above = (gap_laws.upper_gamma(1e4, 10_001.0 + step) for step in (-1e-6, 1e-6))
    assert below == pytest.approx(above, rel=1e-7)


@given(LAW, st.floats(1e-9, 1.0 - 1e-6))
def test_what_is_left_is_found_by_its_probability(law: tuple[bool, float], probability: float) -> None:
    left = gap_laws.left_at(*law, probability)
    assert gap_laws.left_longer(*law, left) == pytest.approx(probability, rel=1e-6, abs=1e-12)


@given(LAW, LAW, st.floats(1e-6, 1.0 - 1e-6))
def test_carrying_keeps_the_quantile_there_and_back(
    before: tuple[bool, float], after: tuple[bool, float], probability: float
) -> None:
    left = gap_laws.left_at(*before, probability)
    carried = gap_laws.carried(left, before, after)
    assert gap_laws.left_longer(*after, carried) == pytest.approx(probability, rel=1e-5, abs=1e-9)


@given(LAW, st.floats(0.0, 100.0))
def test_nothing_changes_where_the_law_stays(law: tuple[bool, float], left: float) -> None:
    assert gap_laws.carried(left, law, law) == left
