"""What memory for redundant experts goes to which layer."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.experts.placements import Placement
from loadline_policies.experts.redundancies import (
    Split,
    curve,
    dropped,
    fewest,
    physical_experts,
    splits,
)

LOADS = st.integers(0, 1000).map(float)
CURVES = st.lists(st.lists(LOADS, min_size=1, max_size=4), min_size=1, max_size=4)


def in_turns(loads: Sequence[float], *, physical: int, ranks: int) -> Placement:
    """A planner: replicas of the fullest experts, and all of them dealt out to the ranks in turns."""
    replicas = [1] * len(loads)
    for _ in range(physical - len(loads)):
        fullest = max(range(len(loads)), key=lambda expert: loads[expert] / replicas[expert])
        replicas[fullest] += 1
    copies = [expert for expert, count in enumerate(replicas) for _ in range(count)]
    return Placement(tuple(tuple(copies[rank::ranks]) for rank in range(ranks)))


@given(CURVES, st.integers(0, 6))
def test_no_other_split_within_the_memory_is_better_or_as_good_with_fewer(
    curves: list[list[float]], most: int
) -> None:
    possible = [
        (sum(loads[count] for loads, count in zip(curves, counts, strict=True)), sum(counts))
        for counts in product(*(range(len(loads)) for loads in curves))
        if sum(counts) <= most
    ]
    found = splits(curves, most=most)[most]
    assert (found.cost, found.experts) == min(possible)


@given(CURVES, st.integers(0, 6))
def test_a_split_is_within_its_memory_and_says_what_its_curves_say(
    curves: list[list[float]], most: int
) -> None:
    for memory, split in enumerate(splits(curves, most=most)):
        assert split.experts <= memory
        chosen = [loads[count] for loads, count in zip(curves, split.per_rank, strict=True)]
        assert split.cost == sum(chosen)


@given(CURVES, st.integers(0, 6))
def test_more_memory_is_never_worse(curves: list[list[float]], most: int) -> None:
    sums = [split.cost for split in splits(curves, most=most)]
    assert sums == sorted(sums, reverse=True)


def test_a_first_expert_that_gains_nothing_hides_no_second() -> None:
    assert splits([[10, 10, 2], [10, 9, 8]], most=2)[2].per_rank == (2, 0)


def test_what_lowers_nothing_gets_no_memory() -> None:
    assert splits([[5, 5, 5], [9, 4, 4]], most=6)[6] == Split(per_rank=(0, 1), cost=9)


def test_a_curve_is_what_the_planner_leaves_to_the_fullest_rank() -> None:
    assert curve([9, 2, 1, 1], ranks=2, most=1, plan=in_turns) == (10, 7)


def test_a_curve_may_be_of_what_a_capacity_would_drop() -> None:
    """Of twelve pairs the mean expert has three; with replicas on both ranks it has 12 / 6."""
    cost = dropped(gamma_thousandths=1_000, top_k=2)
    assert curve([9, 1, 1, 1], ranks=2, most=1, plan=in_turns, cost=cost) == (6, 9 - 3 * 2)


def test_the_fewest_are_the_first_that_do() -> None:
    found = splits([[9, 6, 4, 4]], most=3)
    assert fewest(found, cost=6) == found[1]
    assert fewest(found, cost=3) is None


@pytest.mark.parametrize(("experts", "redundant", "physical"), [(8, 0, 8), (8, 2, 16), (7, 0, 8), (7, 1, 12)])
def test_every_rank_has_equally_many(experts: int, redundant: int, physical: int) -> None:
    assert physical_experts(experts, ranks=4, redundant=redundant) == physical
