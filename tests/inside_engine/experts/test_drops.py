"""Token drop, device drop and thresholds keep the pairs that the reference keeps."""

from dataclasses import replace
from fractions import Fraction
from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.experts import drops
from loadline_vllm.experts.capacities import capacities
from loadline_vllm.experts.priorities import Metric
from loadline_vllm.experts.routings import Capped, Chosen
from testbed.experts import reference
from testbed.experts.cases import Case, Shape, draw, pairs, reference_bounds
from testbed.experts.reference import Pair
from testbed.experts.strategies import GAMMAS, cases

EVERYTHING = 10_000_000


def dropped(case: Case, gamma: int) -> Capped:
    return drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))


def kept_pairs(left: Capped) -> set[Pair]:
    return pairs(left.experts, left.kept)


def all_kept(own: Chosen, left: Capped) -> bool:
    return (
        torch.equal(left.kept, own.offered)
        and torch.equal(left.experts, own.experts)
        and torch.equal(left.weights, own.weights * own.offered)
        and not left.dropped.any()
    )


@given(cases(), GAMMAS)
def test_each_expert_keeps_its_best_pairs(case: Case, gamma: int) -> None:
    bounds = reference_bounds(case, gamma)
    assert case.bounds(gamma).tolist() == bounds
    assert kept_pairs(dropped(case, gamma)) == reference.token_drop(case.batch, bounds)


@given(cases(), GAMMAS)
def test_no_expert_gets_more_than_its_capacity(case: Case, gamma: int) -> None:
    loads = reference.loads(kept_pairs(dropped(case, gamma)), case.shape.experts)
    assert all(load <= bound for load, bound in zip(loads, case.bounds(gamma).tolist(), strict=True))


@given(cases(), GAMMAS)
def test_weights_are_the_models_or_zero(case: Case, gamma: int) -> None:
    own, left = case.own, dropped(case, gamma)
    assert torch.equal(left.experts, own.experts)
    assert torch.equal(left.weights, torch.where(left.kept, own.weights, 0.0))
    assert torch.equal(left.dropped, own.offered & ~left.kept)


@given(cases())
def test_an_endless_gamma_changes_nothing(case: Case) -> None:
    assert all_kept(case.own, dropped(case, EVERYTHING))


@given(cases(), GAMMAS, st.integers(0, 2_000))
def test_more_capacity_never_drops_more(case: Case, gamma: int, more: int) -> None:
    assert kept_pairs(dropped(case, gamma)) <= kept_pairs(dropped(case, gamma + more))


@given(cases(tied=False), GAMMAS, st.randoms(use_true_random=False))
def test_by_score_the_order_of_tokens_does_not_matter(case: Case, gamma: int, random: Random) -> None:
    left = _by_score(case.own, case.scores, case.bounds(gamma))
    rows = list(range(len(case.ids)))
    random.shuffle(rows)
    own = Chosen(*(values[rows] for values in case.own))
    moved = _by_score(own, case.scores[rows], case.bounds(gamma))
    for before, after in zip(left, moved, strict=True):
        assert torch.equal(before[rows], after)


def test_of_equal_priorities_the_earlier_token_is_kept() -> None:
    own = Chosen(torch.zeros(6, 1, dtype=torch.int64), torch.ones(6, 1), torch.ones(6, 1, dtype=torch.bool))
    left = drops.token_drop(own, torch.tensor([[0.5], [0.5], [0.9], [0.5], [0.5], [0.9]]), capacities=_of(4))
    assert left.kept.flatten().tolist() == [True, True, True, False, False, True]


def test_zero_is_one_priority_with_either_sign() -> None:
    own = Chosen(torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 1), torch.ones(3, 1, dtype=torch.bool))
    left = drops.token_drop(own, torch.tensor([[-0.0], [0.0], [-1e-9]]), capacities=_of(1))
    assert left.kept.flatten().tolist() == [True, False, False]


@given(cases(), GAMMAS)
def test_padding_is_inert(case: Case, gamma: int) -> None:
    real = slice(0, case.shape.tokens)
    bare = Chosen(*(values[real] for values in case.own))
    padded = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    alone = drops.token_drop(bare, case.priorities[real], capacities=case.bounds(gamma))
    for whole, part in zip(padded, alone, strict=True):
        assert torch.equal(whole[real], part)
    assert not padded.kept[case.shape.tokens :].any()
    assert not padded.dropped[case.shape.tokens :].any()


@given(cases(), GAMMAS, st.data())
def test_experts_with_replicas_have_more_room(case: Case, gamma: int, data: st.DataObject) -> None:
    one_each = st.lists(st.integers(1, 4), min_size=case.shape.experts, max_size=case.shape.experts)
    replicas = data.draw(one_each)
    bounds = reference_bounds(case, gamma, replicas)
    given_bounds = case.bounds(gamma, replicas)
    left = drops.token_drop(case.own, case.priorities, capacities=given_bounds)
    assert given_bounds.tolist() == bounds
    assert kept_pairs(left) == reference.token_drop(case.batch, bounds)


@given(cases(), st.data())
def test_each_expert_may_have_a_capacity_of_its_own(case: Case, data: st.DataObject) -> None:
    count = case.shape.experts
    bounds = data.draw(st.lists(st.integers(0, 50), min_size=count, max_size=count))
    left = drops.token_drop(case.own, case.priorities, capacities=torch.tensor(bounds))
    assert kept_pairs(left) == reference.token_drop(case.batch, bounds)


def test_one_token_keeps_all_of_its_experts() -> None:
    case = draw(1, Shape(tokens=1, experts=8, top_k=2))
    assert all_kept(case.own, dropped(case, 1))


def test_a_capacity_is_the_products_ceiling_and_no_more() -> None:
    """A float makes 56 of 1.1 × 50."""
    bounds = capacities(
        torch.ones(4, dtype=torch.int64),
        gamma_thousandths=torch.tensor(1_100),
        tokens=torch.tensor(100),
        top_k=2,
    )
    assert bounds.tolist() == [55] * 4


def test_a_batch_below_the_least_tokens_is_not_bounded() -> None:
    bounds = [
        capacities(
            torch.ones(4, dtype=torch.int64),
            gamma_thousandths=torch.tensor(1_000),
            tokens=torch.tensor(tokens),
            top_k=2,
            min_tokens=torch.tensor(8),
        ).tolist()
        for tokens in (0, 7, 8)
    ]
    assert bounds == [[0] * 4, [7] * 4, [4] * 4]


@given(cases(), GAMMAS, st.integers(1, 4))
def test_each_device_keeps_the_best_pairs_of_its_experts(case: Case, gamma: int, count: int) -> None:
    devices = [expert * count // case.shape.experts for expert in range(case.shape.experts)]
    slots = [devices.count(device) for device in range(count)]
    tokens = len(case.batch.tokens)
    bounds = capacities(
        torch.tensor(slots),
        gamma_thousandths=torch.tensor(gamma),
        tokens=torch.tensor(tokens),
        top_k=case.shape.top_k,
        most_per_token=case.shape.top_k,
    )
    expected = reference.capacities(
        slots,
        gamma=Fraction(gamma, 1000),
        tokens=tokens,
        top_k=case.shape.top_k,
        most_per_token=case.shape.top_k,
    )
    left = drops.device_drop(case.own, case.priorities, devices=torch.tensor(devices), capacities=bounds)
    assert bounds.tolist() == expected
    assert kept_pairs(left) == reference.device_drop(case.batch, devices, expected)


@given(cases(), st.data())
def test_thresholds_judge_each_pair_by_itself(case: Case, data: st.DataObject) -> None:
    count = case.shape.experts
    limits = data.draw(st.lists(st.floats(-1.5, 1.5, width=32), min_size=count, max_size=count))
    left = drops.threshold_drop(case.own, case.priorities, thresholds=torch.tensor(limits))
    assert kept_pairs(left) == reference.threshold_drop(case.batch, limits)


def test_random_drops_follow_from_the_seed() -> None:
    shape = Shape(tokens=64, experts=4, top_k=2, metric=Metric.RANDOM)
    first, again, other = (draw(seed, shape) for seed in (5, 5, 5))
    other = replace(other, ranking=other.ranking._replace(seed=torch.tensor(6)))
    assert kept_pairs(dropped(first, 1_000)) == kept_pairs(dropped(again, 1_000))
    assert kept_pairs(dropped(first, 1_000)) != kept_pairs(dropped(other, 1_000))


def _of(capacity: int) -> torch.Tensor:
    return torch.tensor([capacity])


def _by_score(own: Chosen, scores: torch.Tensor, bounds: torch.Tensor) -> Capped:
    return drops.token_drop(own, scores.gather(1, own.experts), capacities=bounds)
