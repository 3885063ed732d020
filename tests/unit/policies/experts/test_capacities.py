"""A capacity is γ times the mean load, rounded up, and exact."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS, capacities

REPLICAS = st.lists(st.integers(1, 4), min_size=1, max_size=64)


@given(REPLICAS, st.integers(1, 10_000), st.integers(0, 100_000), st.integers(1, 16))
def test_it_is_the_ceiling_of_the_exact_product(
    replicas: list[int], gamma: int, tokens: int, top_k: int
) -> None:
    mean = Fraction(gamma, 1000) * tokens * top_k / sum(replicas)
    assert capacities(replicas, gamma_thousandths=gamma, tokens=tokens, top_k=top_k) == [
        min(max(math.ceil(mean * count), 1), tokens) for count in replicas
    ]


def test_a_product_that_is_whole_is_not_rounded_up() -> None:
    assert math.ceil(1.1 * 50) == 56
    assert capacities([1] * 4, gamma_thousandths=1_100, tokens=100, top_k=2) == [55] * 4


@given(REPLICAS, st.integers(1, 100_000), st.integers(1, 16))
def test_the_largest_gamma_bounds_nothing(replicas: list[int], tokens: int, top_k: int) -> None:
    bounds = capacities(replicas, gamma_thousandths=UNBOUNDED_THOUSANDTHS, tokens=tokens, top_k=top_k)
    assert bounds == [tokens] * len(replicas)
