"""Compiled continuous batching equals a plain one in Python; no token is lost, and no memory is kept."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.serving import loops, prefix_caches
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.routers.mixed_pools import PROMPT, TOKEN
from loadline_sim.serving.servers import Fleet, no_extras, servers_of
from loadline_sim.traffic.traces import Trace
from tests.component.simulator.serving.step_reference import Engine, sequences_of

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

BLOCK, MOST_TOKENS, MOST_SEQUENCES = 4, 24, 5
PREFILL_S: Floats = np.linspace(0.05, 2.05, 201, dtype=np.float64)
DECODE_S: Floats = np.linspace(0.02, 0.22, 201, dtype=np.float64)

TICKS = 64.0371
"""A second: so nobody comes as a step ends, since whose turn it is then is a matter of rounding."""

TIMES_S = st.integers(0, 400).map(lambda tick: tick / TICKS)
REQUESTS = st.lists(
    st.tuples(TIMES_S, st.integers(1, 40), st.integers(1, 30)),
    min_size=1,
    max_size=25,
)


def trace_of(rows: list[tuple[float, int, int]]) -> Trace:
    arrival_s, prompt, output = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
    return Trace(np.array(arrival_s), np.array(prompt), np.array(output))


EXTRAS = (0.0021, 0.00013, 0.000017)
"""Seconds of a request that decodes beside prompts, of a token that one holds, of a pair of a prompt's."""


def fleet_of(servers: int, *, blocks: int, extras: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Fleet:
    made = servers_of(np.zeros(servers, np.int64), memory_bytes=1000 + blocks * BLOCK * 8, weight_bytes=1000)
    beyond = no_extras(1)
    beyond["decode_s"], beyond["context_s"], beyond["pair_s"] = extras
    return Fleet(made, PREFILL_S[np.newaxis], DECODE_S[np.newaxis], beyond, 8, 1e6)


def served(trace: Trace, fleet: Fleet, router: Any, *, priorities: Ints | None = None) -> Outcomes:
    scheduler = partial(
        SCHEDULERS["continuous"],
        most_sequences=MOST_SEQUENCES,
        most_tokens=MOST_TOKENS,
        block_tokens=BLOCK,
        priorities=priorities,
    )
    return loops.simulate(trace, fleet=fleet, router=router, scheduler=scheduler)


@given(REQUESTS, st.integers(18, 60), st.sampled_from([(0.0, 0.0, 0.0), EXTRAS]))
@example([(0.0, 1, 30), (0.0, 30, 1), (0.1, 40, 30)], 18, EXTRAS)
@settings(deadline=None)
def test_it_equals_a_plain_engine(
    rows: list[tuple[float, int, int]], blocks: int, extras: tuple[float, ...]
) -> None:
    compare(trace_of(rows), blocks=blocks, extras=extras)


@pytest.mark.parametrize("extras", [(0.0, 0.0, 0.0), EXTRAS], ids=["tables", "extras"])
def test_it_equals_a_plain_engine_that_preempts(extras: tuple[float, ...]) -> None:
    rows = [(index / 64, 20, 30) for index in range(12)]
    assert compare(trace_of(rows), blocks=20, extras=extras).preemptions >= 5


def plain_engine(
    *, blocks: int, extras: tuple[float, ...], kept_tokens: int = 0, by_priority: bool = False
) -> Engine:
    """The engine in plain Python that a fleet of one server has to equal."""
    return Engine(
        blocks=blocks,
        block_tokens=BLOCK,
        most_sequences=MOST_SEQUENCES,
        most_tokens=MOST_TOKENS,
        prefill_s=PREFILL_S.tolist(),
        decode_s=DECODE_S.tolist(),
        beside_prompts_s=extras[0],
        context_s=extras[1],
        pair_s=extras[2],
        kept_tokens=kept_tokens,
        by_priority=by_priority,
    )


def compare(trace: Trace, *, blocks: int, extras: tuple[float, ...]) -> Engine:
    """See that both give each request the same times; the plain engine, afterwards."""
    outcomes = served(trace, fleet_of(1, blocks=blocks, extras=extras), ROUTERS["token-queues"]())
    sequences = sequences_of(trace)
    plain = plain_engine(blocks=blocks, extras=extras)
    plain.serve(sequences)
    assert outcomes.ttft_s + trace.arrival_s == pytest.approx([one.first_s for one in sequences], abs=1e-9)
    assert outcomes.response_s + trace.arrival_s == pytest.approx([one.last_s for one in sequences], abs=1e-9)
    return plain


ROUTING: dict[str, Callable[[], Any]] = {
    "power-of-two": ROUTERS["power-of-two"],
    "prefix-aware": lambda: ROUTERS["prefix-aware"](prefix_caches.no_cache()),
    "mixed-pools": lambda: ROUTERS["mixed-pools"](np.array([PROMPT, TOKEN, TOKEN])),
    "separate-pools": lambda: ROUTERS["separate-pools"](1),
    "token-queues": ROUTERS["token-queues"],
}


@given(REQUESTS, st.integers(18, 60), st.sampled_from(sorted(ROUTERS)))
@settings(deadline=None)
def test_at_the_end_nothing_is_held_or_owed(
    rows: list[tuple[float, int, int]], blocks: int, router: str
) -> None:
    trace, fleet = trace_of(rows), fleet_of(3, blocks=blocks)
    outcomes = served(trace, fleet, ROUTING[router]())
    assert not np.isnan(outcomes.response_s).any()
    assert (outcomes.response_s >= outcomes.ttft_s).all()
    assert (fleet.servers["used_bytes"] == 1000).all()
    assert (fleet.servers["promised_bytes"] == 1000).all()
    assert (fleet.servers["pending_tokens"] == 0).all()
    assert (fleet.servers["waiting"] == 0).all()


def test_a_preempted_request_does_not_wait_for_one_that_waits_with_its_kv() -> None:
    rows = [
        (0.0, 1, 7),
        (0.0, 1, 9),
        (0.0, 1, 2),
        (0.016, 36, 3),
        (0.016, 15, 1),
        (0.078, 23, 30),
        (0.078, 17, 30),
    ]
    outcomes = served(trace_of(rows), fleet_of(3, blocks=18), ROUTING["mixed-pools"]())
    assert outcomes.response_s.max() < 10.0


def test_a_request_that_fits_in_no_whole_blocks_is_refused() -> None:
    with pytest.raises(InvalidTrace, match="request 0: tokens is 70"):
        served(trace_of([(0.0, 40, 30)]), fleet_of(1, blocks=17), ROUTERS["token-queues"]())
