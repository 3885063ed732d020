"""The policy's answers for one scheduler: what is refused waits in force only, and something always runs."""

from collections.abc import Sequence

import pytest

from loadline_policies.kv.admissions import Member, Members
from loadline_policies.kv.estimators import ByOracle
from loadline_policies.kv.peaks import BlockGroup
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from loadline_vllm.admission.gates import Gate

ENFORCED = Config(admission=AdmissionMode.ENFORCE, estimator=EstimatorName.WORST_CASE, reserve_percent=0)
OBSERVED = ENFORCED.model_copy(update={"admission": AdmissionMode.OBSERVE})


def member(name: str, *, held: int = 16, most: int = 16) -> Member:
    return Member(request_id=name, held_tokens=held, produced_tokens=0, most_tokens=most)


def gate(settings: Config = ENFORCED, *, blocks: int = 6, may_enforce: bool = True) -> Gate:
    """A pool of blocks of 16 tokens, in which each `member` needs two."""
    made = Gate(blocks=blocks, groups=(BlockGroup(block_tokens=16),), may_enforce=may_enforce)
    made.hold(settings)
    return made


def never() -> Members:
    raise AssertionError


def admitted(asked: Gate, *names: str, holding: Sequence[Member] = (), runs: bool = True) -> list[str]:
    """Who may start in one step, in which the scheduler stops at the first that may not."""
    asked.begin_step()
    found = []
    for name in names:
        if not asked.admits(member(name), new_shared_blocks=0, batch=lambda: Members.of(holding), runs=runs):
            break
        found.append(name)
    return found


def test_requests_start_as_long_as_the_batch_with_them_fits() -> None:
    asked = gate()
    assert admitted(asked, "a", "b", "c", "d") == ["a", "b", "c"]
    assert (asked.refusals, asked.peak_blocks) == (1, 8)


def test_after_a_refusal_none_starts_in_that_step() -> None:
    asked = gate()
    admitted(asked, "a", "b", "c", "d")
    assert not asked.admits(member("e", held=1, most=0), new_shared_blocks=0, batch=never, runs=True)
    assert asked.refusals == 1


def test_requests_that_hold_memory_are_of_the_batch() -> None:
    assert admitted(gate(), "b", "c", "d", holding=[member("a")]) == ["b", "c"]


def test_shared_blocks_take_room() -> None:
    asked = gate()
    asked.begin_step()
    assert asked.admits(
        member("b"), new_shared_blocks=1, batch=lambda: Members.of([member("a")], shared_blocks=1), runs=True
    )
    assert not asked.admits(member("c"), new_shared_blocks=1, batch=lambda: Members.of([]), runs=True)


def test_in_observe_all_start_and_a_step_counts_one_refusal() -> None:
    asked = gate(OBSERVED)
    assert admitted(asked, "a", "b", "c", "d", "e", "f") == ["a", "b", "c", "d", "e", "f"]
    assert (asked.refusals, asked.peak_blocks) == (1, 8)
    assert admitted(asked, "g", holding=[member(name) for name in "abcdef"]) == ["g"]
    assert asked.refusals == 2


def test_an_engine_that_may_only_observe_does_so_whatever_the_agent_sends() -> None:
    asked = gate(ENFORCED, may_enforce=False)
    assert asked.mode is AdmissionMode.OBSERVE
    assert admitted(asked, "a", "b", "c", "d") == ["a", "b", "c", "d"]


def test_something_always_runs() -> None:
    session = member("session", held=96, most=0)
    asked = gate()
    assert admitted(asked, "a", holding=[session], runs=False) == ["a"]
    assert admitted(asked, "b", holding=[session, member("a")]) == []


def test_a_request_that_started_because_nothing_ran_belongs_to_the_batch() -> None:
    asked = gate()
    session = member("session", held=90, most=0)
    asked.begin_step()
    assert asked.admits(member("a"), new_shared_blocks=0, batch=lambda: Members.of([session]), runs=False)
    both = [session, member("a")]
    assert not asked.admits(member("b"), new_shared_blocks=0, batch=lambda: Members.of(both), runs=True)


def test_the_reserve_stays_free() -> None:
    assert admitted(gate(ENFORCED.model_copy(update={"reserve_percent": 50})), "a", "b", "c") == ["a"]


def test_other_settings_keep_the_lengths_that_are_known() -> None:
    asked = gate()
    for number in range(60):
        asked.estimators.arrived(str(number), [1])
        asked.estimators.finished(str(number), 4)
    asked.hold(ENFORCED.model_copy(update={"estimator": EstimatorName.HISTORY}))
    assert asked.estimator.is_warm
    assert admitted(asked, *map(str, range(9))) == ["0", "1", "2"]
    asked.hold(Config())
    assert asked.estimators.known == 60


def test_an_estimator_of_a_test_is_asked_until_settings_change() -> None:
    asked = gate()
    asked.ask_estimator(ByOracle(dict.fromkeys("abcdefg", 0)))
    assert admitted(asked, *"abcdefg") == [*"abcdef"]
    asked.hold(ENFORCED)
    assert admitted(asked, *"abcdefg") == [*"abc"]


def test_the_batch_is_looked_at_only_if_a_request_waits() -> None:
    gate().begin_step()
    asked = gate(OBSERVED, blocks=1)
    asked.begin_step()
    assert asked.admits(member("b"), new_shared_blocks=0, batch=lambda: Members.of([member("a")]), runs=True)
    assert asked.admits(member("c"), new_shared_blocks=0, batch=never, runs=True)


@pytest.mark.parametrize("mode", AdmissionMode)
def test_what_is_in_force_is_what_the_settings_say(mode: AdmissionMode) -> None:
    assert gate(Config(admission=mode)).mode is mode
