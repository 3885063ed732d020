"""By priority the urgent start first and others are preempted for them, as in a plain engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_sim.arrays import Ints
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.registry import ROUTERS
from tests.component.simulator.serving.test_continuous import ROUTING, fleet_of, served
from tests.component.simulator.serving.test_prefix_caches import REQUESTS, Row, compare, known_trace

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

PRIORITIES = st.lists(st.integers(-2, 2), min_size=25, max_size=25)
BURST: list[Row] = [(index, 20, 20, 0, 0) for index in range(20)]


def burst(priorities: Ints | None, *, blocks: int = 60) -> Outcomes:
    return served(
        known_trace(BURST), fleet_of(1, blocks=blocks), ROUTERS["token-queues"](), priorities=priorities
    )


@given(REQUESTS, PRIORITIES, st.integers(18, 60))
@settings(deadline=None)
def test_it_equals_a_plain_engine(rows: list[Row], priorities: list[int], blocks: int) -> None:
    compare(rows, blocks=blocks, priorities=priorities[: len(rows)])


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_plain_engine_that_preempts(seed: int) -> None:
    dice = np.random.default_rng(seed)
    rows = [
        (int(at), 40, 30, index % 3, 1 + index % 5)
        for index, at in enumerate(np.sort(dice.integers(0, 200, 20)))
    ]
    plain, _ = compare(rows, blocks=20, priorities=dice.integers(0, 3, 20).tolist())
    assert plain.preemptions >= 5


def test_the_urgent_do_not_wait_for_those_that_came_before() -> None:
    priorities = np.where(np.arange(20) % 2, 0, 1)
    by_priority, first_come = burst(priorities), burst(None)
    assert np.median(by_priority.ttft_s[1::2]) < 0.7 * np.median(first_come.ttft_s[1::2])
    assert np.median(by_priority.ttft_s[0::2]) > np.median(first_come.ttft_s[0::2])


def test_equal_priorities_are_first_come_first_served() -> None:
    equal, first_come = burst(np.full(20, 7)), burst(None)
    assert equal.ttft_s.tobytes() == first_come.ttft_s.tobytes()
    assert equal.response_s.tobytes() == first_come.response_s.tobytes()


@given(REQUESTS, PRIORITIES, st.integers(18, 60), st.sampled_from(sorted(ROUTING)))
@settings(deadline=None)
def test_at_the_end_nothing_is_held_or_owed(
    rows: list[Row], priorities: list[int], blocks: int, router: str
) -> None:
    trace, fleet = known_trace(rows), fleet_of(3, blocks=blocks)
    outcomes = served(trace, fleet, ROUTING[router](), priorities=np.array(priorities[: len(rows)]))
    assert not np.isnan(outcomes.response_s).any()
    assert (fleet.servers["used_bytes"] == 1000).all()
    assert (fleet.servers["promised_bytes"] == 1000).all()
    assert (fleet.servers["pending_tokens"] == 0).all()
    assert (fleet.servers["waiting"] == 0).all()
