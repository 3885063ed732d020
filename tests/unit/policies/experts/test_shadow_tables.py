"""What each γ would drop and gain, from loads alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.shadow_tables import Counts, ShadowRow, count, shadow_table

TOP_K = 2
EXPERTS = 9
TWO_EXPERTS = st.permutations(range(EXPERTS)).map(lambda experts: experts[:TOP_K])
LOADS = st.lists(TWO_EXPERTS, max_size=40).map(
    lambda tokens: [sum(expert in token for token in tokens) for expert in range(EXPERTS)]
)
"""The loads of nine experts under tokens that each choose two."""


def counted(loads: list[int], *, grid: tuple[int, ...] = (1_000, 1_500)) -> Counts:
    tokens = sum(loads) // TOP_K
    return count(
        loads, tokens=tokens, top_k=TOP_K, placement=contiguous(len(loads), 2), grid_thousandths=grid
    )


def test_a_row_says_what_is_dropped_and_what_the_fullest_rank_has_left() -> None:
    """Four experts on two ranks, sixteen pairs: the mean is 4, and γ = 1.5 allows 6."""
    counts = counted([10, 4, 1, 1])
    assert (counts.expert_imbalance, counts.rank_imbalance) == (10 / 4, 14 / 8)
    assert shadow_table(counts, grid_thousandths=(1_000, 1_500)) == (
        ShadowRow(gamma_thousandths=1_000, dropped_fraction=6 / 16, rank_most=14 / 8, capped_rank_most=1.0),
        ShadowRow(
            gamma_thousandths=1_500, dropped_fraction=4 / 16, rank_most=14 / 8, capped_rank_most=10 / 8
        ),
    )


def test_batches_are_counted_apart() -> None:
    """Two batches that are skewed against each other lose pairs, though their sum is even."""
    counts = counted([8, 0], grid=(1_000,)) + counted([0, 8], grid=(1_000,))
    (row,) = shadow_table(counts, grid_thousandths=(1_000,))
    assert counts.rank_imbalance == 2.0
    assert row.dropped_fraction == 0.5


def test_a_gain_is_less_where_a_layer_takes_time_beside_its_experts() -> None:
    row = ShadowRow(gamma_thousandths=1_000, dropped_fraction=0.1, rank_most=2.0, capped_rank_most=1.0)
    assert row.speedup() == 2.0
    assert row.speedup(fixed=1.0) == 1.5


def test_without_a_pair_there_is_no_row() -> None:
    counts = counted([0, 0, 0, 0])
    assert (counts.expert_imbalance, counts.rank_imbalance) == (None, None)
    assert shadow_table(counts, grid_thousandths=(1_000, 1_500)) == ()


@given(LOADS)
def test_a_larger_gamma_drops_no_more_and_gains_no_more(loads: list[int]) -> None:
    grid = (500, 1_000, 1_100, 2_000, UNBOUNDED_THOUSANDTHS)
    rows = shadow_table(counted(loads, grid=grid), grid_thousandths=grid)
    dropped = [row.dropped_fraction for row in rows]
    gains = [row.speedup() for row in rows]
    assert dropped == sorted(dropped, reverse=True)
    assert gains == sorted(gains, reverse=True)
    assert all(row.dropped_fraction == 0 and row.speedup() == 1 for row in rows[-1:])


@given(LOADS, LOADS)
def test_dropped_fractions_are_the_papers_equation_11_rounded_up(one: list[int], other: list[int]) -> None:
    counts = counted(one, grid=(1_000,)) + counted(other, grid=(1_000,))
    exact = sum(max(0.0, load - sum(loads) / EXPERTS) for loads in (one, other) for load in loads)
    assert exact - 2 * EXPERTS <= counts.dropped[0] <= exact
    assert counts.pairs == sum(one) + sum(other)


def test_sums_of_different_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        counted([4, 0]) + counted([4, 0], grid=(1_000,))
