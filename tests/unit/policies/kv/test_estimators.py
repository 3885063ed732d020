"""Each estimator answers within bounds; buckets learn from prompts, and a request may outgrow its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.estimators import ByBuckets, ByOracle, Estimator, LearningEstimators, Lengths
from loadline_policies.kv.length_buckets import EDGES, bucket_of, features_of
from loadline_policies.kv.predicted_memory import Config, EstimatorName


def total(estimator: Estimator, request_id: str, *, produced: int = 0, most: int = 100_000) -> int:
    batch = Lengths([request_id], np.array([produced]), np.array([most]))
    found = estimator.totals(batch, np.array([[0.5]]))
    return int(found[0, 0])


SETTINGS = Config(window_requests=100, least_requests=2)


def named_estimator(name: EstimatorName) -> Estimator:
    return LearningEstimators(SETTINGS)[name]


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


def test_all_estimators_learn_whichever_is_asked() -> None:
    estimators = LearningEstimators(SETTINGS)
    for number in range(2):
        estimators.arrived(str(number), [1, 2])
        estimators.finished(str(number), 20)
    estimators.arrived("c", [1, 2])
    assert estimators.known == 2
    assert total(estimators[EstimatorName.HISTORY], "c") == 20
    assert total(estimators[EstimatorName.BUCKETS], "c") == 32
    assert all(estimators[name].is_warm for name in EstimatorName)


def test_what_was_learnt_outlasts_a_change_of_settings() -> None:
    estimators = LearningEstimators(Config(window_requests=100, least_requests=30, initial_tokens=512))
    for number in range(20):
        estimators.arrived(str(number), [1, 2])
        estimators.finished(str(number), number)
    assert not estimators[EstimatorName.HISTORY].is_warm
    estimators.retune(Config(window_requests=10, least_requests=5))
    assert estimators.known == 10
    assert estimators[EstimatorName.HISTORY].is_warm
    assert estimators[EstimatorName.BUCKETS].is_warm
    assert 10 <= total(estimators[EstimatorName.HISTORY], "c") <= 19
    estimators.retune(SETTINGS)
    assert estimators.known == 20


def test_a_longer_window_with_more_requests_to_wait_for_is_cautious_again() -> None:
    estimators = LearningEstimators(SETTINGS)
    for number in range(2):
        estimators.finished(str(number), 20)
    estimators.retune(Config(least_requests=1000, initial_tokens=4096))
    assert not estimators[EstimatorName.HISTORY].is_warm
    assert total(estimators[EstimatorName.HISTORY], "c") == 4096
