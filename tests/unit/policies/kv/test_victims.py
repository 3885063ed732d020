"""Running requests are ordered with those that keep their memory first."""

import pytest

from loadline_policies.kv.victims import MOST_PREEMPTIONS, RunningRequest, VictimRule, kept_first

OLD = RunningRequest(computed_tokens=500, deadline_s=20.0)
NEW_AND_LONG = RunningRequest(computed_tokens=4000, deadline_s=30.0)
SHORT = RunningRequest(computed_tokens=40, deadline_s=10.0)


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        (VictimRule.NEWEST, [0, 1, 2]),
        (VictimRule.LEAST_COMPUTED, [2, 0, 1]),
        (VictimRule.DEADLINE, [1, 0, 2]),
    ],
)
def test_each_rule_takes_memory_from_the_end(rule: VictimRule, order: list[int]) -> None:
    assert kept_first([OLD, SHORT, NEW_AND_LONG], rule) == order


def test_requests_without_a_deadline_are_preempted_first_and_the_least_computed_of_them() -> None:
    requests = [RunningRequest(computed_tokens=10), RunningRequest(computed_tokens=20), OLD]
    assert kept_first(requests, VictimRule.DEADLINE) == [2, 1, 0]


@pytest.mark.parametrize("rule", VictimRule)
def test_a_request_that_was_preempted_often_keeps_its_memory(rule: VictimRule) -> None:
    often = RunningRequest(computed_tokens=1, preemptions=MOST_PREEMPTIONS)
    assert kept_first([NEW_AND_LONG, OLD, often], rule)[0] == 2


def test_vllms_order_decides_ties() -> None:
    assert kept_first([OLD, OLD, OLD], VictimRule.LEAST_COMPUTED) == [0, 1, 2]
