"""The reference does what the paper says, on batches that can be followed by eye."""

from dataclasses import replace
from fractions import Fraction

import pytest

from testbed.experts import reference
from testbed.experts.reference import Batch

SCORES = (
    (0.7, 0.2, 0.1),
    (0.6, 0.1, 0.3),
    (0.5, 0.4, 0.1),
    (0.8, 0.0, 0.2),
)
"""Four tokens want expert 0; their second choices are 1, 2, 1 and 2."""

BATCH = Batch(
    chosen=((0,), (0,), (0,), (0,)),
    scores=SCORES,
    selection=SCORES,
    real=(True,) * 4,
    classes=(0.0,) * 4,
)


def test_a_capacity_is_rounded_up_and_is_one_at_least() -> None:
    assert reference.capacities([1, 1, 2], gamma=Fraction(3, 2), tokens=5, top_k=1) == [2, 2, 4]
    assert reference.capacities([1, 1], gamma=Fraction(1, 100), tokens=5, top_k=1) == [1, 1]
    assert reference.capacities([1, 1], gamma=Fraction(9), tokens=5, top_k=1) == [5, 5]


@pytest.mark.parametrize(
    ("metric", "kept"), [("score", {0, 3}), ("order", {0, 1}), ("reverse_order", {2, 3})]
)
def test_an_expert_keeps_the_best_by_the_metric(metric: str, kept: set[int]) -> None:
    batch = replace(BATCH, metric=metric)
    assert reference.token_drop(batch, (2, 2, 2)) == {(token, 0) for token in kept}


def test_a_class_below_comes_after_all_others() -> None:
    batch = replace(BATCH, classes=(-1.0, 0.0, 0.0, -1.0))
    assert reference.token_drop(batch, (3, 3, 3)) == {(1, 0), (2, 0), (3, 0)}


def test_rejected_tokens_go_to_their_next_expert() -> None:
    assert reference.reroute(BATCH, (2, 2, 2), rounds=1) == {(0, 0), (3, 0)}
    assert reference.reroute(BATCH, (2, 2, 2), rounds=2) == {(0, 0), (3, 0), (1, 2), (2, 1)}


def test_a_better_proposal_displaces_one_that_was_kept() -> None:
    """Token 1 holds expert 1 until token 0, which expert 0 rejects, asks for it with a higher score."""
    scores = ((0.5, 0.4), (0.3, 0.35), (0.9, 0.1))
    batch = replace(
        BATCH,
        chosen=((0,), (1,), (0,)),
        scores=scores,
        selection=scores,
        real=(True,) * 3,
        classes=(0.0,) * 3,
    )
    assert reference.reroute(batch, (1, 1), rounds=1) == {(2, 0), (1, 1)}
    assert reference.reroute(batch, (1, 1), rounds=2) == {(2, 0), (0, 1)}


def test_an_expert_outside_of_the_groups_is_never_asked() -> None:
    never = reference.NEVER
    batch = replace(BATCH, selection=tuple((row[0], row[1], never) for row in SCORES))
    assert reference.reroute(batch, (1, 1, 9), rounds=3) == {(3, 0), (2, 1)}


def test_local_experts_are_candidates_too() -> None:
    assert reference.expanded_candidates(BATCH, (2, 2, 2), (1,)) == {(0, 0), (3, 0), (0, 1), (2, 1)}
    assert reference.expanded_drop(BATCH, (2, 2, 2), (1,)) == {(0, 0), (3, 0), (2, 1)}


def test_a_device_keeps_the_best_of_all_its_experts() -> None:
    batch = replace(BATCH, chosen=((0, 1), (0, 2), (0, 1), (0, 2)))
    assert reference.device_drop(batch, (0, 0, 1), (3, 1)) == {(0, 0), (1, 0), (3, 0), (1, 2)}


def test_padding_offers_nothing() -> None:
    batch = replace(BATCH, chosen=((0,), (-1,), (0,), (0,)), real=(True, True, True, False))
    assert batch.pairs == [(0, 0), (2, 0)]
