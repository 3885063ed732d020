"""
A row of real agents under a real API server, attacked for a minute, with the plant's true watts as the judge.

The other attacks, and the longer form of this one, are `make bench-safety-live`'s.
"""

import pytest

from loadline_policies.power.safety.breakers import TRIP
from testbed.live_rows.scenarios import dead_setters_at_peak
from testbed.live_rows.stages import Outcome, Scenario, play


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """What two of five nodes with dead setters have done to a row at its peak."""
    return play(Scenario(title="setters dead on two of five nodes", attack=dead_setters_at_peak), print)


def test_the_row_stays_under_its_curve_and_within_its_budget(outcome: Outcome) -> None:
    assert not [fact for fact in outcome.facts if not fact.ok]
    assert outcome.verdict.most_load > 1.2, "the peak was above all that the breaker bears"
    assert outcome.verdict.most_heat < TRIP
    assert outcome.verdict.most_falls > 0.9, "the fault was excused for no longer than it may be"
    assert not outcome.verdict.s1


def test_no_limit_is_raised_unasked_and_nobody_is_disarmed(outcome: Outcome) -> None:
    assert not outcome.verdict.rises
    assert not outcome.verdict.disarmed


def test_every_sentence_of_the_statuses_is_true(outcome: Outcome) -> None:
    assert outcome.verdict.looks > 40
    assert not list(map(str, outcome.verdict.false))
