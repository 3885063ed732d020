"""Read-ME's Algorithm 1 against every choice that there is, on queues small enough to try them all."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.experts import schedules
from testbed.small_routings import routing_of

QUEUES = st.lists(st.integers(0, 4), min_size=1, max_size=9)


def distinct(queue: list[int], positions: object) -> int:
    return len({queue[i] for i in np.asarray(positions).tolist()})


@given(QUEUES, st.integers(1, 9))
def test_algorithm_1_needs_as_few_experts_as_the_best_choice(queue: list[int], budget: int) -> None:
    chosen = schedules.longest_queues_first(np.array(queue), budget)
    full = min(budget, len(queue))
    fewest = min(distinct(queue, positions) for positions in combinations(range(len(queue)), full))
    assert (len(set(chosen.tolist())), distinct(queue, chosen)) == (full, fewest)


def test_the_longest_queue_is_taken_whole_before_the_next() -> None:
    queue = np.array([3, 1, 1, 2, 1, 2])
    assert schedules.longest_queues_first(queue, 4).tolist() == [1, 2, 4, 3]


def test_of_equal_queues_the_lower_id_comes_first_and_of_a_queue_the_oldest() -> None:
    assert schedules.longest_queues_first(np.array([4, 0, 4, 0]), 3).tolist() == [1, 3, 0]


@given(QUEUES, st.integers(1, 9))
def test_arrival_order_takes_the_oldest(queue: list[int], budget: int) -> None:
    positions = schedules.arrival_order(np.array(queue), budget)
    assert positions.tolist() == list(range(min(budget, len(queue))))


def test_grouping_counts_experts_and_how_long_rare_ones_wait() -> None:
    ids = [[[0]]] * 8 + [[[1]]]
    routing = routing_of(ids, experts=2)
    grouped = schedules.grouping(
        routing, layer=0, waiting=9, budget=3, schedule=schedules.longest_queues_first, seed=0
    )
    assert (grouped.batches, grouped.longest_wait) == (3, 2)
    assert grouped.in_all == grouped.in_layer == (1 + 1 + 2) / 3
