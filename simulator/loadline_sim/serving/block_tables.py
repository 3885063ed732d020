"""
The blocks that servers keep, found by their keys, and in the order in which they were used last.

A server's memory bounds how many blocks it keeps, however many keys there are, so they are found by a hash
table: open addressing with linear probing, where a removed entry is filled by those behind it. Blocks that no
request uses are a list from the least to the most recently used one, for each server.
"""

from typing import Final, NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving.records import Records, record

NONE: Final = -1
SPREAD: Final = 0x9E3779B97F4A7C15 >> 1
"""The golden ratio in 63 bits, by which keys are spread over a table (Knuth, TAOCP 3, 6.4)."""

BLOCK: Final = record(("key", "users", "older", "newer"))
"""A block that is kept: its key, how many requests use it, and its neighbours in the list if none does."""

UNUSED: Final = record(("oldest", "newest", "blocks"))
"""Of a server: the list of blocks that no request uses, and how many they are."""


class BlockTable(NamedTuple):
    """`places` has a number of `blocks` plus one, or 0; the first `free_count[0]` of `free` are no block's.

    `unused` is by server.
    """

    places: Ints
    blocks: Records
    free: Ints
    free_count: Ints
    unused: Records


def empty(servers: int, room: int) -> BlockTable:
    """A table for so many blocks of all servers together."""
    unused = np.zeros(servers, UNUSED)
    unused["oldest"] = unused["newest"] = NONE
    places = np.zeros(1 << int(2 * room).bit_length(), np.int64)
    return BlockTable(places, np.zeros(room, BLOCK), np.arange(room), np.array([room]), unused)


@compiled
def block_of(table: BlockTable, key: int) -> int:
    """The block with a key, NONE if none is kept."""
    place = _place(table, key)
    return NONE if place == NONE else int(table.places[place] - 1)


@compiled
def add(table: BlockTable, key: int) -> int:
    """A new block with a key, which nobody uses and no list has; NONE if there is no room for one."""
    if table.free_count[0] == 0:
        return NONE
    table.free_count[0] -= 1
    block = table.free[table.free_count[0]]
    table.blocks[block].key, table.blocks[block].users = key, 0
    place = _home(table, key)
    while table.places[place] != 0:
        place = (place + 1) & (table.places.size - 1)
    table.places[place] = block + 1
    return int(block)


@compiled
def drop_oldest(table: BlockTable, server: int) -> None:
    """Keep a server's least recently used block no longer."""
    block = table.unused[server].oldest
    unlink(table, server, block)
    _remove(table, _place(table, table.blocks[block].key))
    table.free[table.free_count[0]] = block
    table.free_count[0] += 1


@compiled
def link(table: BlockTable, server: int, block: int) -> None:
    """Count a block as unused since now."""
    mine, it = table.unused[server], table.blocks[block]
    it.older, it.newer = mine.newest, NONE
    if mine.newest == NONE:
        mine.oldest = block
    else:
        table.blocks[mine.newest].newer = block
    mine.newest = block
    mine.blocks += 1


@compiled
def unlink(table: BlockTable, server: int, block: int) -> None:
    """Count a block as used."""
    mine, it = table.unused[server], table.blocks[block]
    if it.older == NONE:
        mine.oldest = it.newer
    else:
        table.blocks[it.older].newer = it.newer
    if it.newer == NONE:
        mine.newest = it.older
    else:
        table.blocks[it.newer].older = it.older
    mine.blocks -= 1


@compiled
def _place(table: BlockTable, key: int) -> int:
    """Where a key is in the table, NONE if it isn't."""
    place = _home(table, key)
    while table.places[place] != 0:
        if table.blocks[table.places[place] - 1].key == key:
            return place
        place = (place + 1) & (table.places.size - 1)
    return NONE


@compiled
def _home(table: BlockTable, key: int) -> int:
    """The place of a table at which the search for a key begins."""
    return int(((key + 1) * SPREAD >> 20) & (table.places.size - 1))


@compiled
def _remove(table: BlockTable, place: int) -> None:
    """Take a key out, and move those behind it up that would not be found any more."""
    mask, hole = table.places.size - 1, place
    table.places[hole] = 0
    place = (hole + 1) & mask
    while table.places[place] != 0:
        home = _home(table, table.blocks[table.places[place] - 1].key)
        if ((place - home) & mask) >= ((place - hole) & mask):
            table.places[hole] = table.places[place]
            table.places[place] = 0
            hole = place
        place = (place + 1) & mask
