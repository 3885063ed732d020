"""Lists of compiled code do what Python's lists do."""

import bisect

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.serving import rows
from loadline_sim.serving.rows import Rows

KEYS = np.dtype([("rank", "i8"), ("arrival_s", "f8")])
RECORDS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.5])), max_size=20)


def listed(made: Rows, kind: int = 0, owner: int = 0) -> list[int]:
    return [int(item) for item in made.items[kind, owner, : made.sizes[kind, owner]]]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
def test_items_are_added_and_taken_out_in_order(changes: list[tuple[bool, int]]) -> None:
    made, expected = rows.empty(2, 3, 64), list[int]()
    for adds, item in changes:
        if adds:
            rows.append(made, 1, 2, item)
            expected.append(item)
        else:
            assert rows.remove(made, 1, 2, item) == (item in expected)
            if item in expected:
                expected.remove(item)
    assert listed(made, 1, 2) == expected
    assert listed(made) == []


@given(RECORDS)
def test_items_are_ranked_and_then_come_in_order_of_arrival(keys: list[tuple[int, float]]) -> None:
    records, made, expected = np.array(keys, KEYS), rows.empty(1, 1, 32), list[int]()
    for item in range(len(keys)):
        rows.insert_by_rank(made, 0, 0, item, records)
        bisect.insort(expected, item, key=lambda one: keys[one])
    assert listed(made) == expected


@given(RECORDS)
def test_items_come_in_order_of_arrival(keys: list[tuple[int, float]]) -> None:
    records, made, expected = np.array(keys, KEYS), rows.empty(1, 1, 32), list[int]()
    for item in range(len(keys)):
        rows.insert_by_arrival(made, 0, 0, item, records)
        bisect.insort(expected, item, key=lambda one: keys[one][1])
    assert listed(made) == expected


def test_lists_keep_their_items_when_they_get_room() -> None:
    made = rows.empty(2, 2, 4)
    rows.append(made, 1, 1, 7)
    more = rows.with_room(made, 16)
    rows.append(more, 1, 1, 8)
    assert listed(more, 1, 1) == [7, 8]
    assert more.items.shape == (2, 2, 16)
