"""Reroute keeps the pairs that deferred acceptance keeps, by the router's own preferences."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_vllm.experts import drops
from loadline_vllm.experts.reroutes import reroute
from loadline_vllm.experts.routings import Capped, Chosen
from testbed.experts import reference
from testbed.experts.cases import Case, Shape, draw, pairs, reference_bounds
from testbed.experts.reference import Pair
from testbed.experts.strategies import GAMMAS, cases

MOST_ROUNDS = 3
ROUNDS = st.integers(1, MOST_ROUNDS)


def rerouted(case: Case, gamma: int, rounds: int, *, most_rounds: int = MOST_ROUNDS) -> Capped:
    return reroute(
        case.own,
        scores=case.scores,
        selection=case.selection,
        ranking=case.ranking,
        capacities=case.bounds(gamma),
        rounds=torch.tensor(rounds),
        most_rounds=most_rounds,
    )


def kept_pairs(left: Capped) -> set[Pair]:
    return pairs(left.experts, left.kept)


@given(cases(tied=False), GAMMAS, ROUNDS)
def test_rounds_are_deferred_acceptance(case: Case, gamma: int, rounds: int) -> None:
    left = rerouted(case, gamma, rounds)
    assert kept_pairs(left) == reference.reroute(case.batch, reference_bounds(case, gamma), rounds=rounds)


@given(cases(tied=True), GAMMAS)
def test_among_equals_as_many_pairs_are_kept_in_the_first_round(case: Case, gamma: int) -> None:
    kept = kept_pairs(rerouted(case, gamma, 1))
    assert kept == reference.reroute(case.batch, reference_bounds(case, gamma), rounds=1)


@given(cases(), GAMMAS, ROUNDS)
def test_no_expert_gets_more_than_its_capacity(case: Case, gamma: int, rounds: int) -> None:
    loads = reference.loads(kept_pairs(rerouted(case, gamma, rounds)), case.shape.experts)
    assert all(load <= bound for load, bound in zip(loads, case.bounds(gamma).tolist(), strict=True))


@given(cases(), GAMMAS, ROUNDS)
def test_a_token_has_each_expert_once_and_no_more_than_before(case: Case, gamma: int, rounds: int) -> None:
    left = rerouted(case, gamma, rounds)
    assert len(kept_pairs(left)) == int(left.kept.sum())
    assert not left.kept[~case.own.offered].any()
    assert torch.equal(left.dropped, case.own.offered & ~left.kept)


@given(cases(), GAMMAS, st.booleans())
def test_one_round_is_token_drop(case: Case, gamma: int, short: bool) -> None:
    drop = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    one = rerouted(case, gamma, 1, most_rounds=1 if short else MOST_ROUNDS)
    for expected, found in zip(drop, one, strict=True):
        assert torch.equal(expected, found)


@given(cases(tied=False), GAMMAS, ROUNDS)
def test_rounds_that_are_not_used_change_nothing(case: Case, gamma: int, rounds: int) -> None:
    """Of experts that a router finds equally good, a longer top-k may name another one first."""
    for short, long in zip(
        rerouted(case, gamma, rounds, most_rounds=rounds), rerouted(case, gamma, rounds), strict=True
    ):
        assert torch.equal(short, long)


@given(cases(), GAMMAS)
def test_more_rounds_never_keep_fewer_pairs(case: Case, gamma: int) -> None:
    counts = [len(kept_pairs(rerouted(case, gamma, rounds))) for rounds in (1, 2, 3)]
    assert counts == sorted(counts)


@given(cases(), GAMMAS, ROUNDS)
def test_kept_pairs_stay_in_their_slots_with_the_models_weights(case: Case, gamma: int, rounds: int) -> None:
    own, left = case.own, rerouted(case, gamma, rounds)
    same = left.kept & (left.experts == own.experts)
    assert torch.equal(left.weights[same], own.weights[same])
    assert not left.weights[~left.kept].any()
    assert torch.equal(left.experts[~left.kept], own.experts[~left.kept])


@given(cases(tied=False), GAMMAS)
def test_a_new_expert_weighs_what_the_router_would_have_given_it(case: Case, gamma: int) -> None:
    own, left = case.own, rerouted(case, gamma, MOST_ROUNDS)
    new = left.kept & (left.experts != own.experts)
    scale = own.weights.sum(1, keepdim=True) / case.scores.gather(1, own.experts).sum(1, keepdim=True)
    expected = scale * case.scores.gather(1, left.experts)
    torch.testing.assert_close(left.weights[new], expected[new])


@given(cases(), GAMMAS, ROUNDS)
def test_no_token_leaves_its_groups(case: Case, gamma: int, rounds: int) -> None:
    left = rerouted(case, gamma, rounds)
    assert torch.isfinite(case.selection.gather(1, left.experts)[left.kept]).all()


@given(cases(), GAMMAS, ROUNDS)
def test_padding_is_inert(case: Case, gamma: int, rounds: int) -> None:
    left = rerouted(case, gamma, rounds)
    assert not left.kept[case.shape.tokens :].any()
    assert not left.dropped[case.shape.tokens :].any()
    assert torch.equal(left.experts[case.shape.tokens :], case.own.experts[case.shape.tokens :])


def test_a_bias_chooses_the_next_expert_and_the_score_weighs_it() -> None:
    """Both tokens go to expert 0; the first is rejected, and would go to expert 1 without the bias."""
    scores = torch.tensor([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1]])
    selection = scores + torch.tensor([1.0, 0.0, 0.2])
    own = Chosen(
        selection.argmax(1, keepdim=True),
        torch.tensor([[0.1], [0.6]]),
        torch.ones(2, 1, dtype=torch.bool),
    )
    case = draw(0, Shape(tokens=2, experts=3, top_k=1))
    left = reroute(
        own,
        scores=scores,
        selection=selection,
        ranking=case.ranking,
        capacities=torch.tensor([1, 1, 1]),
        rounds=torch.tensor(2),
        most_rounds=2,
    )
    assert own.experts.tolist() == [[0], [0]]
    assert left.experts.tolist() == [[2], [0]]
    assert torch.equal(left.weights, torch.tensor([[0.4], [0.6]]))


def test_with_all_experts_chosen_there_is_no_other() -> None:
    case = draw(3, Shape(tokens=9, experts=4, top_k=4))
    assert kept_pairs(rerouted(case, 500, 3)) == kept_pairs(
        drops.token_drop(case.own, case.priorities, capacities=case.bounds(500))
    )
