"""
The promise under schedules at random, and under all schedules in the small.

One short exploration is part of every check; the long ones take a minute together. Further ones:
`python -m testbed.protocol_model`.
"""

from dataclasses import replace

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.explorations import at_random, first_failure, in_the_small, schedules
from testbed.protocol_model.rules import FIRST_WRITTEN
from testbed.protocol_model.scenarios import MENU, SMALL
from testbed.protocol_model.setups import row

THREE, FOUR = row(3, budget_watts=1560), row(4, budget_watts=2400)


@pytest.mark.slow
@given(data=st.data())
def test_schedules_at_random_keep_the_promise(data: st.DataObject) -> None:
    setup = data.draw(st.sampled_from((THREE, FOUR)))
    schedule = data.draw(schedules(setup, most=1))
    failure = first_failure(schedule, setup, last_s=100)
    note(str(failure))
    assert failure is None


def test_one_event_at_any_second_keeps_the_promise() -> None:
    explored = in_the_small(SMALL, MENU, events=1, depth_s=16)
    assert explored.failure is None, str(explored.failure)
    assert explored.worlds > 300


@pytest.mark.slow
def test_the_rule_as_first_written_is_found_out_at_random() -> None:
    failure = at_random(replace(FOUR, rule=FIRST_WRITTEN), seed_=1, examples=20, events=4)
    assert failure is not None
    assert failure.schedule


def test_a_failure_is_told_as_a_schedule() -> None:
    schedule = [(20, Event(Kind.DEAFEN, 0)), (100, Event(Kind.BUDGET, 0, 1920))]
    failure = first_failure(schedule, replace(FOUR, rule=FIRST_WRITTEN))
    assert failure is not None
    assert str(failure).splitlines()[1:] == [
        "    20 s later, node 0: its answers are lost from now on",
        "   100 s later, node 0: the budget is edited (1920 W)",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_long_schedules_at_random_keep_the_promise(seed: int) -> None:
    for setup in (THREE, FOUR):
        failure = at_random(setup, seed_=seed, examples=40, events=8)
        assert failure is None, f"seed {seed}\n{failure}"


@pytest.mark.slow
def test_two_events_at_any_seconds_keep_the_promise() -> None:
    explored = in_the_small(SMALL, MENU, events=2, depth_s=12)
    assert explored.failure is None, str(explored.failure)
    assert explored.worlds > 20_000
