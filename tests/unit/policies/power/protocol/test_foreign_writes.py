"""Who else writes a limit: seen from the first time, and no longer counted on once it is often."""

import pytest

from loadline_policies.power.protocol.foreign_writes import KEPT_S, OFTEN, OFTEN_S, ForeignWrites

SAFE, OURS, THEIRS = 250.0, 300.0, 390.0


def written(period_s: float, times: int, *, watts: float = THEIRS) -> tuple[ForeignWrites, float]:
    """A GPU on which somebody writes every `period_s`, and we undo it each time; and when that ended."""
    one, now = ForeignWrites(), 1000.0
    one.know(OURS)
    for _ in range(times):
        now += period_s
        assert one.seen(watts, safe_watts=SAFE, now=now)
        one.know(OURS)
    return one, now


def test_our_own_limit_is_no_foreign_write() -> None:
    one = ForeignWrites()
    one.know(OURS)
    assert not one.seen(OURS + 0.4, safe_watts=SAFE, now=1.0)


def test_what_is_there_at_first_is_nobodys_write() -> None:
    assert not ForeignWrites().seen(THEIRS, safe_watts=SAFE, now=1.0)


def test_a_foreign_limit_that_stays_is_one_write() -> None:
    one = ForeignWrites()
    one.know(OURS)
    assert [one.seen(THEIRS, safe_watts=SAFE, now=float(now)) for now in range(20)] == [True] + [False] * 19
    assert not one.often(20.0)


@pytest.mark.parametrize(("period_s", "often"), [(5.0, True), (9.9, True), (50.0, False), (61.0, False)])
def test_a_stranger_makes_a_gpu_unable_by_how_often_he_writes(period_s: float, often: bool) -> None:
    one, now = written(period_s, 20)
    assert one.often(now) is often
    assert one.highest_watts(now) == (THEIRS if often else 0.0)


def test_whoever_sets_it_lower_than_safe_does_no_harm() -> None:
    one, now = written(1.0, 50, watts=SAFE - 20.0)
    assert not one.often(now)


def test_it_is_believed_again_ten_minutes_after_the_last_time() -> None:
    one, now = written(OFTEN_S / (OFTEN + 1), OFTEN + 1)
    assert one.often(now + KEPT_S - 1.0)
    assert not one.often(now + KEPT_S)
    assert one.highest_watts(now + KEPT_S) == 0.0


def test_an_old_high_value_is_forgotten_before_new_ones_count() -> None:
    one, now = written(5.0, 10, watts=400.0)
    now += 2 * KEPT_S
    for _ in range(10):
        now += 5.0
        one.seen(320.0, safe_watts=SAFE, now=now)
        one.know(OURS)
    assert one.highest_watts(now) == 320.0
