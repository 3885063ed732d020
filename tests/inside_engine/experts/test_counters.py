"""The device's counts are those of the pure functions, and what token drop does is what was counted."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_policies.experts.placements import Placement, contiguous
from loadline_policies.experts.shadow_tables import count
from loadline_vllm.experts import counters, drops
from loadline_vllm.experts.routings import Chosen
from testbed.experts import reference
from testbed.experts.cases import Case
from testbed.experts.strategies import GAMMAS, cases

GRID = torch.tensor(GRID_THOUSANDTHS)


def shares(placement: Placement) -> torch.Tensor:
    dense = torch.zeros(len(placement.ranks), len(placement.replicas), dtype=torch.float64)
    for rank, experts in enumerate(placement.shares):
        for expert, share in experts:
            dense[rank, expert] = share
    return dense


@given(cases(), st.integers(1, 3), st.lists(st.integers(0, 1), max_size=3))
def test_counts_are_those_of_the_pure_functions(case: Case, ranks: int, again: list[int]) -> None:
    first, *others = contiguous(case.shape.experts, ranks).ranks
    placement = Placement((first, *others, tuple(again)))
    found = counters.observed(
        case.own,
        shares=shares(placement),
        replicas=torch.tensor(placement.replicas),
        grid_thousandths=GRID,
    )
    loads = reference.loads(case.batch.pairs, case.shape.experts)
    tokens = len(case.batch.tokens)
    expected = count(loads, tokens=tokens, top_k=case.shape.top_k, placement=placement)
    assert found.loads.tolist() == loads
    assert int(found.batches) == 1
    assert int(found.expert_most) == expected.expert_most
    assert found.dropped.tolist() == list(expected.dropped)
    torch.testing.assert_close(float(found.rank_most), expected.rank_most)
    torch.testing.assert_close(found.capped_rank_most.tolist(), list(expected.capped_rank_most))


@given(cases(), GAMMAS)
def test_token_drop_drops_what_was_counted(case: Case, gamma: int) -> None:
    experts = case.shape.experts
    found = counters.observed(
        case.own,
        shares=shares(contiguous(experts, 2)),
        replicas=torch.ones(experts, dtype=torch.int64),
        grid_thousandths=torch.tensor([gamma]),
    )
    left = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    kept = counters.loads(left.experts, left.kept, count=experts)
    assert found.dropped.tolist() == [int(counters.outcome(case.own, left).dropped)]
    assert found.capped_rank_most.tolist() == [
        max(kept[: -(-experts // 2)].sum(), kept[-(-experts // 2) :].sum())
    ]


def test_a_batch_of_padding_adds_nothing() -> None:
    own = Chosen(torch.zeros(3, 2, dtype=torch.int64), torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool))
    found = counters.observed(
        own,
        shares=shares(contiguous(4, 2)),
        replicas=torch.ones(4, dtype=torch.int64),
        grid_thousandths=GRID,
    )
    assert not any(values.any() for values in found)


@given(cases(), GAMMAS)
def test_tokens_without_an_expert_are_counted(case: Case, gamma: int) -> None:
    left = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    kept = {token for token, row in enumerate(left.kept.tolist()) if any(row)}
    found = counters.outcome(case.own, left)
    assert int(found.without_expert) == len(set(case.batch.tokens) - kept)
    assert int(found.rerouted) == 0
