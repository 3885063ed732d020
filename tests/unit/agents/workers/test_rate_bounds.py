"""A sender has a few tries at once and a pace, and takes nothing from another."""

from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workers import rate_bounds
from loadline_agent.workers.rate_bounds import RateBound
from testbed.clocks import Clock


def test_a_sender_has_a_few_at_once_and_then_a_pace() -> None:
    clock = Clock()
    bound = RateBound(clock, per_s=0.5, burst=3.0)
    assert [bound.allows("a") for _ in range(5)] == [True, True, True, False, False]
    clock.now += 2.0
    assert [bound.allows("a") for _ in range(2)] == [True, False]


def test_one_that_sends_too_much_stops_no_other() -> None:
    bound = RateBound(Clock(), per_s=0.5, burst=3.0)
    assert not all(bound.allows("a") for _ in range(100))
    assert bound.allows("b")


def test_the_sender_that_came_longest_ago_is_forgotten_first() -> None:
    bound = RateBound(Clock(), per_s=0.0, burst=1.0)
    for sender in range(rate_bounds.MOST_SENDERS + 1):
        assert bound.allows(str(sender))
    assert (bound.allows("0"), bound.allows("2")) == (True, False)


@given(st.lists(st.floats(min_value=0.0, max_value=5.0), max_size=50))
def test_no_sender_ever_has_more_than_its_burst_and_its_pace(pauses: list[float]) -> None:
    clock = Clock()
    bound = RateBound(clock, per_s=0.5, burst=3.0)
    begun, done = clock.now, 0
    for pause_s in pauses:
        clock.now += pause_s
        done += bound.allows("a")
        assert done <= 3.0 + 0.5 * (clock.now - begun) + 1e-6
