"""
The row in a hostile world, in short; `make bench-safety` is the long form.

And that the bench itself is worth something: a schedule is played twice to the same end, an
adversary's is a schedule like any other, and old faults planted in the product are found.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.shaken_rows.adversaries import KNOWN, against, climb
from testbed.shaken_rows.generators import drawn, overwhelmed
from testbed.shaken_rows.planted_faults import FAULTS
from testbed.shaken_rows.schedules import Event, Schedule, played, shrunk

FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 80, 20))
def test_schedules_at_random_break_no_promise(first: int) -> None:
    outcomes = [played(drawn(seed)) for seed in range(first, first + 20)]
    assert [breach for outcome in outcomes for breach in outcome.breaches] == []
    assert any(outcome.beyond_s is None for outcome in outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_an_adversary_that_chooses_its_moment_breaks_no_promise(seed: int) -> None:
    outcomes = list(climb(seed, 10))
    assert [breach for outcome in outcomes for breach in outcome.breaches] == []


@pytest.mark.slow
def test_where_no_plan_can_hold_it_is_said_and_the_others_are_at_their_lowest() -> None:
    outcomes = [played(overwhelmed(seed)) for seed in range(20)]
    assert [breach for outcome in outcomes for breach in outcome.breaches] == []
    assert sum(outcome.unholdable_s > 5.0 for outcome in outcomes) >= 5


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_what_once_broke_a_promise_breaks_none_any_more(file: Path) -> None:
    outcome = played(Schedule.read(file.read_text("utf-8")))
    assert outcome.breaches == ()


def test_a_schedule_is_played_again_to_the_same_end() -> None:
    schedule = drawn(3)
    again = Schedule.read(schedule.text())
    assert again == schedule
    assert played(again) == played(schedule)


def test_what_an_adversary_did_is_a_schedule_that_ends_alike() -> None:
    outcome = against(KNOWN[0].rules, seed=3)
    assert len(outcome.schedule.events) > 1
    assert played(outcome.schedule).most_heat == outcome.most_heat


PLANTED = Schedule(
    seed=1,
    nodes=10,
    events=(Event(0.0, "idle", 0), Event(5.0, "setters fail", 4), Event(6.0, "setters fail", 5)),
)


@pytest.mark.slow
def test_a_planted_fault_is_found_and_the_schedule_shrunk_to_what_matters() -> None:
    noisy = replace(PLANTED, events=(*PLANTED.events, Event(9.0, "missed", 0), Event(9.5, "reconnect", 7)))
    assert played(noisy).breaches == ()
    with FAULTS["#1 setters that fail count at safe"].planted():
        (breach, *_) = played(noisy).breaches
        small = shrunk(noisy, breach.promise)
        assert played(small).breaches
    assert {event.kind for event in small.events} == {"setters fail"}
    assert played(noisy).breaches == (), "the fault is gone again"
