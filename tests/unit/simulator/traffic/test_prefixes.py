"""Blocks as runs are the blocks that were given; what a cache hits is what came before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.traffic import prefixes
from loadline_sim.traffic.prefixes import Prefixes

LISTS = st.lists(st.lists(st.integers(0, 30), max_size=8), min_size=1, max_size=12)


def made(lists: list[list[int]]) -> Prefixes:
    ids = np.array([one for each in lists for one in each], np.int64)
    return prefixes.of_ids(ids, np.array([len(each) for each in lists]), block_tokens=16)


def listed(of: Prefixes) -> list[list[int]]:
    runs = [list(range(first, first + length)) for first, length in zip(of.firsts, of.lengths, strict=True)]
    spans = zip(of.starts, of.starts[1:], strict=False)
    return [[one for run in runs[begin:end] for one in run] for begin, end in spans]


def ranked(lists: list[list[int]]) -> list[list[int]]:
    """The lists with each id replaced by its rank, which is what small ids are."""
    order = sorted({one for each in lists for one in each})
    return [[order.index(one) for one in each] for each in lists]


@given(LISTS)
def test_runs_hold_every_block_in_order(lists: list[list[int]]) -> None:
    of = made(lists)
    assert listed(of) == ranked(lists)
    assert of.blocks.tolist() == [len(each) for each in lists]


@given(LISTS, st.data())
def test_selected_requests_keep_their_blocks(lists: list[list[int]], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    of = made(lists).select(np.array(places, np.int64))
    assert listed(of) == [ranked(lists)[place] for place in places]


@given(LISTS)
def test_a_cache_without_limits_hits_the_leading_blocks_that_were_seen(lists: list[list[int]]) -> None:
    seen: set[int] = set()
    expected = []
    for each in lists:
        hits = 0
        here = set(seen)
        for one in each:
            if one not in here:
                break
            hits += 1
        expected.append(hits)
        seen |= set(each)
    assert prefixes.cached_blocks(made(lists)).tolist() == expected


def test_following_ids_are_one_run() -> None:
    of = made([[5, 6, 7], [5, 6, 9]])
    assert of.lengths.tolist() == [3, 2, 1]
