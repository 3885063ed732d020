"""The rule's named tests: each keeps the promise all the time, and ends as it is written down."""

import pytest

from testbed.protocol_model.expectations import Scenario
from testbed.protocol_model.explorations import verdict
from testbed.protocol_model.scenarios import SCENARIOS

LONG_S = 300
CASES = [
    pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.last_s > LONG_S else [])
    for each in SCENARIOS
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CASES)
def test_it_keeps_the_promise_and_ends_as_expected(scenario: Scenario) -> None:
    judged = verdict(scenario.schedule, scenario.setup, last_s=scenario.last_s)
    assert judged.broken == set()
    assert scenario.end(judged.last), scenario.expected
