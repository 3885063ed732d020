"""Each estimator answers within bounds; buckets learn from prompts, and a request may outgrow its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.estimators import ByBuckets, ByOracle, Estimator, Lengths, named
from loadline_policies.kv.length_buckets import EDGES, bucket_of, features_of
from loadline_policies.kv.predicted_memory import EstimatorName


def total(estimator: Estimator, request_id: str, *, produced: int = 0, most: int = 100_000) -> int:
    batch = Lengths([request_id], np.array([produced]), np.array([most]))
    found = estimator.totals(batch, np.array([[0.5]]))
    return int(found[0, 0])


def named_estimator(name: EstimatorName, *, least: int = 2) -> Estimator:
    return named(name, window=100, least=least, initial_tokens=2048, draws=5)


@given(st.sampled_from(EstimatorName), st.integers(0, 200_000), st.integers(0, 1000), st.booleans())
def test_every_estimate_is_between_what_was_produced_and_what_may_be(
    name: EstimatorName, produced: int, room: int, arrives: bool
) -> None:
    estimator = named_estimator(name)
    if arrives:
        estimator.arrived("a", [1, 2, 3])
    assert produced <= total(estimator, "a", produced=produced, most=produced + room) <= produced + room


def test_the_worst_case_is_all_that_a_request_may_produce() -> None:
    assert total(named_estimator(EstimatorName.WORST_CASE), "a", most=777) == 777


def test_history_goes_by_requests_that_ended_by_themselves() -> None:
    estimator = named_estimator(EstimatorName.HISTORY)
    for _ in range(2):
        estimator.finished("a", 64)
        estimator.finished("b", None)
    assert estimator.is_warm
    assert total(estimator, "c") == 64


def test_buckets_learn_which_prompts_have_long_answers() -> None:
    estimator = named_estimator(EstimatorName.BUCKETS)
    for number in range(200):
        long = number % 2
        estimator.arrived(str(number), [900 + long] * 8 + [number])
        estimator.finished(str(number), 1000 if long else 20)
    estimator.arrived("short", [900] * 8 + [7])
    estimator.arrived("long", [901] * 8 + [7])
    assert total(estimator, "short") == 32
    assert total(estimator, "long") == 1024


def test_buckets_assume_the_initial_length_while_few_requests_have_ended() -> None:
    estimator = named_estimator(EstimatorName.BUCKETS)
    estimator.arrived("a", [1])
    assert not estimator.is_warm
    assert total(estimator, "a") == 2048


def test_a_request_that_outgrows_its_bucket_is_moved_to_the_next_and_counted_once() -> None:
    estimator = ByBuckets(least=2, initial_tokens=64)
    estimator.arrived("a", [1])
    assert total(estimator, "a", produced=63) == 64
    assert total(estimator, "a", produced=64) == 128
    assert total(estimator, "a", produced=65) == 128
    assert estimator.mispredicted == 1


def test_a_request_above_all_buckets_is_expected_to_double() -> None:
    estimator = ByBuckets(least=2, initial_tokens=64)
    estimator.arrived("a", [1])
    assert total(estimator, "a", produced=EDGES[-1], most=10**9) == 2 * EDGES[-1]


def test_a_request_that_ended_is_forgotten() -> None:
    estimator = ByBuckets(least=0, initial_tokens=64)
    estimator.arrived("a", [1, 2])
    estimator.finished("a", None)
    estimator.finished("a", 10)
    assert total(estimator, "a") == 64


def test_the_oracle_knows() -> None:
    assert total(ByOracle({"a": 12}), "a") == 12


@given(st.lists(st.integers(0, 2**31 - 1), max_size=80))
def test_features_of_any_prompt_are_columns(prompt: list[int]) -> None:
    features = features_of(prompt)
    assert len(features) == min(len(prompt), 32) + 1
    assert features.min() >= 0
    assert features.max() < 1024


@pytest.mark.parametrize(("tokens", "bucket"), [(0, 0), (32, 0), (33, 1), (64, 1), (EDGES[-1] + 1, 11)])
def test_buckets_double(tokens: int, bucket: int) -> None:
    assert bucket_of(tokens) == bucket
