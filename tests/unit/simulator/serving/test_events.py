"""Events happen by their time, and at one time in the order in which they were made."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadline_sim.serving import events

TIMES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 1e9]) | st.floats(0, 1e6), max_size=60)


@given(TIMES)
def test_events_come_by_time_and_then_in_their_order(times: list[float]) -> None:
    queue = events.no_events(1, 64)
    for index, at_s in enumerate(times):
        events.push(queue, at_s, events.TRANSFER, index)
    came = []
    while queue.counts[0] > 0:
        came.append((float(queue.heap[0]["at_s"]), int(queue.heap[0]["index"])))
        events.drop_first(queue)
    assert came == sorted((at_s, index) for index, at_s in enumerate(times))


def test_a_heap_keeps_its_events_when_it_gets_room() -> None:
    queue = events.no_events(2, 8)
    events.push(queue, 2.0, events.TRANSFER, 7)
    events.begin_steps(queue, 1, 0.0, 0.25, 0.0, 4.0)
    more = events.with_room(queue, 32)
    assert more.heap.size > queue.heap.size
    assert (more.heap[0]["at_s"], more.heap[1]["index"]) == (1.0, 7)
    assert more.steps["end_s"].tolist() == [0.0, 1.0]


def test_steps_are_cut_after_the_one_that_is_under_way() -> None:
    queue = events.no_events(1, 8)
    events.begin_steps(queue, 0, 10.0, 0.25, 0.0, 100.0)
    events.cut_steps(queue, 0, 10.6)
    assert queue.steps[0]["steps"] == 3.0
    assert queue.steps[0]["end_s"] == 10.75
    events.cut_steps(queue, 0, 10.7)
    assert queue.counts[0] == 2, "the second cut changes nothing; the first end is dropped by the loop"


@given(st.floats(0.001, 1.0), st.floats(0.0, 0.1), st.integers(1, 400), st.floats(0.0, 1.0))
@example(0.30851339934796995, 0.0, 11, 0.0)
def test_steps_that_grow_are_cut_after_the_one_that_is_under_way(
    step_s: float, growth_s: float, steps: int, share: float
) -> None:
    ends_s = np.cumsum(step_s + growth_s * np.arange(steps))
    queue = events.no_events(1, 8)
    events.begin_steps(queue, 0, 5.0, step_s, growth_s, float(steps))
    assert queue.steps[0]["end_s"] == pytest.approx(5.0 + ends_s[-1])
    at_s = share * float(ends_s[-1])
    if np.abs(ends_s - at_s).min() < 1e-6:
        return  # at the end of a step rounding decides which one is under way
    events.cut_steps(queue, 0, 5.0 + at_s)
    under_way = int(np.searchsorted(ends_s, at_s))
    assert queue.steps[0]["steps"] == under_way + 1
    assert queue.steps[0]["end_s"] == pytest.approx(5.0 + ends_s[under_way])


def test_no_steps_end_by_no_event() -> None:
    queue = events.no_events(1, 8)
    events.begin_steps(queue, 0, 10.0, 0.25, 0.0, 0.0)
    assert queue.counts[0] == 0


@pytest.mark.parametrize(("servers", "tasks"), [(1, 8), (3, 64), (40, 64)])
def test_a_heap_that_is_not_full_has_room_for_a_whole_batch_and_a_step_of_each_server(
    servers: int, tasks: int
) -> None:
    queue = events.no_events(servers, tasks)
    while not events.is_full(queue):
        events.push(queue, 1.0, events.TRANSFER, 0)
    before_the_last = int(queue.counts[0]) - 1
    assert before_the_last + servers + tasks <= queue.heap.size
    assert not events.is_full(events.with_room(queue, 2 * tasks)), "room is made by having more tasks"
