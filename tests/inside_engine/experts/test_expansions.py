"""Expanded drop keeps the candidates that the reference keeps, and each token's best of them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.experts import drops
from loadline_vllm.experts.expansions import expanded_drop, kept_candidates
from loadline_vllm.experts.routings import Capped
from testbed.experts import reference
from testbed.experts.cases import Case, pairs, reference_bounds
from testbed.experts.reference import Pair
from testbed.experts.strategies import GAMMAS, cases


def local_experts(case: Case, device: int) -> list[int]:
    """The experts of one of two devices."""
    half = case.shape.experts // 2
    return list(range(half)) if device == 0 else list(range(half, case.shape.experts))


def expanded(case: Case, gamma: int, local: list[int]) -> Capped:
    return expanded_drop(
        case.own,
        scores=case.scores,
        selection=case.selection,
        ranking=case.ranking,
        capacities=case.bounds(gamma),
        local=torch.tensor(local, dtype=torch.int64),
    )


DEVICES = st.integers(0, 1)


def kept_pairs(left: Capped) -> set[Pair]:
    return pairs(left.experts, left.kept)


@given(cases(tied=False), GAMMAS, DEVICES)
def test_experts_keep_their_best_candidates(case: Case, gamma: int, device: int) -> None:
    local = local_experts(case, device)
    experts, kept = kept_candidates(
        case.own,
        scores=case.scores,
        selection=case.selection,
        ranking=case.ranking,
        capacities=case.bounds(gamma),
        local=torch.tensor(local, dtype=torch.int64),
    )
    found = pairs(experts, kept)
    assert len(found) == int(kept.sum())
    assert found == reference.expanded_candidates(case.batch, reference_bounds(case, gamma), local)


@given(cases(tied=False), GAMMAS, DEVICES)
def test_a_token_gets_its_best_candidates_in_as_many_slots(case: Case, gamma: int, device: int) -> None:
    local = local_experts(case, device)
    left = expanded(case, gamma, local)
    assert kept_pairs(left) == reference.expanded_drop(case.batch, reference_bounds(case, gamma), local)
    assert len(kept_pairs(left)) == int(left.kept.sum())


@given(cases(), GAMMAS, DEVICES)
def test_no_expert_gets_more_than_its_capacity(case: Case, gamma: int, device: int) -> None:
    left = expanded(case, gamma, local_experts(case, device))
    loads = reference.loads(kept_pairs(left), case.shape.experts)
    assert all(load <= bound for load, bound in zip(loads, case.bounds(gamma).tolist(), strict=True))


@given(cases(), GAMMAS)
def test_without_local_experts_it_is_token_drop(case: Case, gamma: int) -> None:
    drop = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    for expected, found in zip(drop, expanded(case, gamma, []), strict=True):
        assert torch.equal(expected, found)


@given(cases(tied=False), DEVICES)
def test_an_endless_gamma_changes_nothing(case: Case, device: int) -> None:
    left = expanded(case, 10_000_000, local_experts(case, device))
    assert torch.equal(left.experts, case.own.experts)
    assert torch.equal(left.kept, case.own.offered)


@given(cases(), GAMMAS, DEVICES)
def test_padding_is_inert(case: Case, gamma: int, device: int) -> None:
    left = expanded(case, gamma, local_experts(case, device))
    assert not left.kept[case.shape.tokens :].any()
    assert not left.dropped[case.shape.tokens :].any()
