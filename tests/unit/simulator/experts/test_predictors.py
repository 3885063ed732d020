"""Predictors on routing whose answer is known, and on any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.experts import predictors
from loadline_sim.experts.decode_steps import accesses_of
from loadline_sim.experts.predictors import PREDICTORS
from loadline_sim.experts.routings import Routing
from testbed.small_routings import routing_of, routings


@given(st.permutations(range(6)), st.permutations(range(6)), st.integers(0, 99))
def test_coactivation_is_perfect_on_a_deterministic_chain(
    second: list[int], third: list[int], seed: int
) -> None:
    first = np.concatenate([np.arange(6), np.random.default_rng(seed).integers(0, 6, 20)])
    chain = np.stack([first, np.array(second)[first], np.array(third)[first]], axis=1)[:, :, np.newaxis]
    routing = routing_of(chain, experts=6)
    by_layer = predictors.recall(predictors.coactivation(routing, routing), routing)
    assert by_layer[1:].tolist() == [1.0, 1.0]


def test_the_linear_predictor_learns_what_follows_from_the_first_layer() -> None:
    first = np.arange(60) % 6
    ids = np.stack([first, (first * 5 + 1) % 6], axis=1)[:, :, np.newaxis]
    routing = routing_of(ids, experts=6, sequence=(np.arange(60) // 12).tolist())
    assert predictors.recall(predictors.linear(routing, routing), routing)[1] == 1.0


def test_the_first_token_of_a_request_follows_no_other() -> None:
    """Its first layer has only the constant to go by: all requests' first tokens are scored alike."""
    routing = routing_of([[[0]], [[1]], [[2]], [[1]]], experts=3, sequence=[0, 0, 1, 1])
    scores = predictors.linear(routing, routing)
    assert scores[0].tolist() == scores[2].tolist() != scores[1].tolist()


@given(routings())
def test_the_perfect_predictor_is_perfect_and_no_other_is_better(routing: Routing) -> None:
    for name, predict in PREDICTORS.items():
        by_layer = predictors.recall(predict(routing, routing), routing)
        assert ((by_layer >= 0.0) & (by_layer <= 1.0)).all()
        assert name != "perfect" or (by_layer == 1.0).all()


@given(routings(), st.integers(1, 4), st.sampled_from(sorted(PREDICTORS)))
def test_the_future_of_a_token_is_not_used(routing: Routing, batch: int, name: str) -> None:
    """What is predicted for the tokens so far doesn't change when later tokens are cut off."""
    kept = routing.tokens - 1
    shorter = routing.first(kept)
    whole, part = PREDICTORS[name](routing, routing)[:kept], PREDICTORS[name](routing, shorter)
    assert whole == pytest.approx(part, abs=1e-5)


@given(routings(), st.integers(1, 4))
def test_a_perfect_prediction_names_what_a_group_needs(routing: Routing, batch: int) -> None:
    accesses = accesses_of(routing, batch=batch)
    scores = predictors.perfect(routing, routing)
    rows = predictors.predicted_keys(scores, accesses, count=routing.experts_per_token)
    for group, row in enumerate(rows.tolist()):
        first, last = accesses.group_starts[group : group + 2]
        assert sorted(row[: row.index(-1)]) == accesses.key[first:last].tolist()
        assert set(row[row.index(-1) :]) == {-1}
