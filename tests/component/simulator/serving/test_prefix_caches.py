"""Blocks that are kept: the compiled scheduler finds what a plain engine finds, and no memory is lost."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadline_policies.errors import InvalidTrace
from loadline_sim.serving import block_tables, loops, prefix_caches
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.prefix_caches import PrefixCache
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.servers import Fleet
from loadline_sim.traffic import prefixes
from loadline_sim.traffic.traces import Trace
from tests.component.simulator.serving.step_reference import Engine, sequences_of
from tests.component.simulator.serving.test_continuous import (
    BLOCK,
    EXTRAS,
    MOST_SEQUENCES,
    MOST_TOKENS,
    TICKS,
    fleet_of,
    plain_engine,
    trace_of,
)

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

KEPT = 2 * BLOCK
"""Tokens of a block of a trace: two of the engine's."""

REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(1, 40), st.integers(1, 20), st.integers(0, 3), st.integers(0, 5)
    ),
    min_size=1,
    max_size=25,
)
"""When, prompt, answer; which session the prompt begins as, and for how many blocks."""

Row = tuple[int, int, int, int, int]


def queues(_: PrefixCache) -> object:
    """A router that doesn't look at what servers keep."""
    return ROUTERS["token-queues"]()


def known_trace(rows: list[Row]) -> Trace:
    """The requests with ids of their blocks: those of a session, and then ids of their own."""
    rows = sorted(rows, key=lambda row: row[0])
    trace = trace_of([(tick / TICKS, prompt, output) for tick, prompt, output, _, _ in rows])
    ids: list[int] = []
    counts = []
    for place, (_, prompt, _, session, common) in enumerate(rows):
        blocks = -(-prompt // KEPT)
        shared = min(common, blocks)
        ids += [100 * session + block for block in range(shared)]
        ids += [1000 * (place + 1) + block for block in range(blocks - shared)]
        counts.append(blocks)
    known = prefixes.of_ids(np.array(ids), np.array(counts), block_tokens=KEPT)
    return Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, known)


def served(
    trace: Trace,
    fleet: Fleet,
    *,
    router: Callable[[PrefixCache], object],
    priorities: list[int] | None = None,
) -> tuple[Outcomes, PrefixCache]:
    """What becomes of the requests, and what is kept at the end."""
    assert trace.prefixes is not None
    cache = prefix_caches.prefix_cache(trace.prefixes, fleet, block_tokens=BLOCK)
    scheduler = partial(
        SCHEDULERS["continuous"],
        most_sequences=MOST_SEQUENCES,
        most_tokens=MOST_TOKENS,
        block_tokens=BLOCK,
        cache=cache,
        priorities=None if priorities is None else np.array(priorities),
    )
    return loops.simulate(trace, fleet=fleet, router=router(cache), scheduler=scheduler), cache


def compare(rows: list[Row], *, blocks: int, priorities: list[int] | None = None) -> tuple[Engine, list[int]]:
    """See that both give each request the same times and hits; the plain engine, and the hits."""
    trace, fleet = known_trace(rows), fleet_of(1, blocks=blocks, extras=EXTRAS)
    outcomes, cache = served(trace, fleet, router=queues, priorities=priorities)
    sequences = sequences_of(trace)
    for one, priority in zip(sequences, priorities or [], strict=False):
        one.priority = priority
    plain = plain_engine(blocks=blocks, extras=EXTRAS, kept_tokens=KEPT, by_priority=priorities is not None)
    plain.serve(sequences)
    assert cache.hits.tolist() == [one.hits for one in sequences]
    assert outcomes.ttft_s + trace.arrival_s == pytest.approx([one.first_s for one in sequences], abs=1e-9)
    assert outcomes.response_s + trace.arrival_s == pytest.approx([one.last_s for one in sequences], abs=1e-9)
    check_ended(cache, fleet)
    assert int(cache.table.unused["blocks"][0]) == len(plain.unused)
    return plain, cache.hits.tolist()


def check_ended(cache: PrefixCache, fleet: Fleet) -> None:
    """No memory is taken, nobody uses a block, and each that is kept is in one list and in the table."""
    assert (fleet.servers["used_bytes"] == 1000).all()
    assert not cache.used.any()
    kept = int(cache.table.unused["blocks"].sum())
    assert kept == cache.table.blocks.size - int(cache.table.free_count[0])
    assert kept == np.count_nonzero(cache.table.places)
    listed = [block for server in range(fleet.servers.size) for block in listed_of(cache, server)]
    assert len(set(listed)) == len(listed) == kept
    assert not cache.table.blocks["users"][listed].any()


def listed_of(cache: PrefixCache, server: int) -> list[int]:
    """The unused blocks of a server, from the oldest on."""
    found, block = [], int(cache.table.unused["oldest"][server])
    while block != block_tables.NONE:
        found.append(block)
        block = int(cache.table.blocks["newer"][block])
    return found


@given(REQUESTS, st.integers(18, 60))
@example([(0, 40, 20, 0, 5), (1, 40, 20, 0, 5), (2, 40, 20, 0, 5)], 18)
@settings(deadline=None)
def test_it_finds_and_takes_as_long_as_a_plain_engine(rows: list[Row], blocks: int) -> None:
    compare(rows, blocks=blocks)


def test_a_prompt_that_begins_as_one_before_is_computed_from_there() -> None:
    _, hits = compare([(0, 32, 2, 0, 4), (300, 32, 2, 0, 4)], blocks=60)
    assert hits == [0, 3]  # of a prompt at least one token is computed


def test_the_least_recently_used_gives_way_and_the_end_of_a_prompt_before_its_beginning() -> None:
    _, hits = compare([(0, 32, 1, 0, 4), (100, 40, 8, 1, 5), (390, 40, 1, 0, 4)], blocks=18)
    assert 0 < hits[2] < 4


def test_requests_under_way_share_what_is_kept() -> None:
    plain, hits = compare([(0, 32, 20, 0, 4), (60, 32, 20, 0, 4), (120, 32, 20, 0, 4)], blocks=24)
    assert hits == [0, 3, 3]
    assert plain.preemptions == 0


def test_preempted_requests_find_what_they_have_computed() -> None:
    plain, _ = compare([(index, 20, 30, 3, 0) for index in range(12)], blocks=20)
    assert plain.preemptions >= 3


@given(REQUESTS, st.integers(18, 60))
@settings(deadline=None)
def test_with_prefill_apart_nothing_is_held_at_the_end(rows: list[Row], blocks: int) -> None:
    trace, fleet = known_trace(rows), fleet_of(3, blocks=blocks)
    outcomes, cache = served(trace, fleet, router=lambda _: ROUTERS["separate-pools"](1))
    assert not np.isnan(outcomes.response_s).any()
    check_ended(cache, fleet)


@given(REQUESTS, st.integers(18, 60))
@settings(deadline=None)
def test_with_a_router_that_follows_prefixes_nothing_is_held_at_the_end(rows: list[Row], blocks: int) -> None:
    trace, fleet = known_trace(rows), fleet_of(3, blocks=blocks)
    outcomes, cache = served(trace, fleet, router=ROUTERS["prefix-aware"])
    assert not np.isnan(outcomes.response_s).any()
    check_ended(cache, fleet)
    assert (fleet.servers["pending_tokens"] == 0).all()
    assert (fleet.servers["promised_bytes"] == 1000).all()


def test_a_router_that_follows_prefixes_finds_them_where_queues_alone_do_not() -> None:
    rows = [(100 * turn + session, 40, 1, session, 4) for turn in range(3) for session in range(3)]
    other = [(99, 40, 20, 9, 5), (199, 40, 20, 8, 5)]
    found = {}
    for name, router in (("queues", queues), ("prefixes", ROUTERS["prefix-aware"])):
        trace, fleet = known_trace([*rows, *other]), fleet_of(3, blocks=60)
        found[name] = int(served(trace, fleet, router=router)[1].hits.sum())
    assert found["prefixes"] > found["queues"]


def test_blocks_that_are_not_whole_ones_of_the_engine_are_refused() -> None:
    known = prefixes.of_ids(np.array([1]), np.array([1]), block_tokens=BLOCK + 1)
    with pytest.raises(InvalidTrace, match="give a multiple of the engine's, 4"):
        prefix_caches.prefix_cache(known, fleet_of(1, blocks=20), block_tokens=BLOCK)
