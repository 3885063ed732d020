"""
Lists of whole numbers for compiled code that keeps queues: several of each server, in one array.

A queue of tens is faster as a piece of an array that is shifted than as anything with pointers. None
grows by itself: who fills one stops before it is full, and goes on with `with_room`.
"""

from typing import Any, NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled


class Rows(NamedTuple):
    """List `i` of owner `j` is `items[i, j, :sizes[i, j]]`, in order."""

    items: Ints
    sizes: Ints


def empty(lists: int, owners: int, room: int) -> Rows:
    """So many lists of each owner, each with room for so many items."""
    return Rows(np.zeros((lists, owners, room), np.int64), np.zeros((lists, owners), np.int64))


def with_room(old: Rows, room: int) -> Rows:
    """The same lists, each with room for so many items. Their sizes stay the same array."""
    items = np.zeros((*old.sizes.shape, room), np.int64)
    items[:, :, : old.items.shape[2]] = old.items
    return Rows(items, old.sizes)


@compiled
def most(rows: Rows, one: int, other: int) -> int:
    """The most items that an owner has in two of its lists together."""
    found = 0
    for owner in range(rows.sizes.shape[1]):
        found = max(found, rows.sizes[one, owner] + rows.sizes[other, owner])
    return int(found)


@compiled
def append(rows: Rows, kind: int, owner: int, item: int) -> None:  # noqa: PLR0917
    """Add an item at a list's end."""
    rows.items[kind, owner, rows.sizes[kind, owner]] = item
    rows.sizes[kind, owner] += 1


@compiled
def insert_by_rank(rows: Rows, kind: int, owner: int, item: int, records: Any) -> None:  # noqa: PLR0917
    """Add an item behind all of the same or a lower `rank` and arrival, which are in its record.

    A binary search finds the place, so there is one also where ranks have changed in the list.
    """
    mine, low, high = records[item], 0, rows.sizes[kind, owner]
    while low < high:
        middle = (low + high) // 2
        other = records[rows.items[kind, owner, middle]]
        if mine.rank < other.rank or (mine.rank == other.rank and mine.arrival_s < other.arrival_s):
            high = middle
        else:
            low = middle + 1
    insert(rows, kind, owner, low, item)


@compiled
def insert_by_arrival(rows: Rows, kind: int, owner: int, item: int, records: Any) -> None:  # noqa: PLR0917
    """Add an item behind all that have come before it or with it."""
    place = rows.sizes[kind, owner]
    while place > 0 and records[rows.items[kind, owner, place - 1]].arrival_s > records[item].arrival_s:
        place -= 1
    insert(rows, kind, owner, place, item)


@compiled
def insert(rows: Rows, kind: int, owner: int, place: int, item: int) -> None:  # noqa: PLR0917
    """Add an item before the one that is at a place."""
    for at in range(rows.sizes[kind, owner], place, -1):
        rows.items[kind, owner, at] = rows.items[kind, owner, at - 1]
    rows.items[kind, owner, place] = item
    rows.sizes[kind, owner] += 1


@compiled
def remove(rows: Rows, kind: int, owner: int, item: int) -> bool:  # noqa: PLR0917
    """Take an item out of a list; whether it was there."""
    size = rows.sizes[kind, owner]
    for place in range(size):
        if rows.items[kind, owner, place] == item:
            for at in range(place, size - 1):
                rows.items[kind, owner, at] = rows.items[kind, owner, at + 1]
            rows.sizes[kind, owner] = size - 1
            return True
    return False
