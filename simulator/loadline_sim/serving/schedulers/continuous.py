"""
Continuous batching as in vLLM: each step is filled anew, answers first, then pieces of prompts.

A step has a budget of tokens. Each running request takes one, or what is left of its prompt; then waiting
ones start, first come first served or by priority. KV memory is taken in blocks as tokens are computed. Where
there is no block for a running request, the newest one or that of the lowest priority is preempted: its
blocks are freed, and all of its tokens are computed again. A request whose answer is served elsewhere is sent
there after its first token, and starts there before those that hold no memory: else a preempted one could
wait for what a waiting one holds.

Where the blocks of prompts are known, those that a server has kept aren't computed again (`prefix_caches`).

Source: vLLM 0.32, `v1/core/sched/scheduler.py`, as far as told here: nothing is speculated.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving import events, handlers, prefix_caches, rows, simulations, transfers
from loadline_sim.serving.gaps import count
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.prefix_caches import PrefixCache
from loadline_sim.serving.records import Records, record
from loadline_sim.serving.rows import Rows
from loadline_sim.serving.schedulers import orders
from loadline_sim.serving.schedulers.orders import RUNNING, WAITING
from loadline_sim.serving.servers import Fleet, check_priced, free_tokens
from loadline_sim.serving.simulations import Simulation

SEQUENCE: Final = record(("computed", "made", "blocks", "now"))
"""Of a request: tokens with KV, tokens of its answer, blocks, and tokens of this step."""


class Continuous(NamedTuple):
    """Limits of a step, size of a block; by request and server; `prefills` are prompt tokens of each step.

    `gaps` counts the times between tokens, unless it is empty; `cache` has what servers keep of prompts;
    without `priorities` the first come is served first.
    """

    most_sequences: int
    most_tokens: int
    block_tokens: int
    sequences: Records
    lists: Rows
    prefills: Ints
    gaps: Ints
    cache: PrefixCache
    priorities: Ints

    def with_room(self, room: int) -> "Continuous":
        """The same, with room for so many items in each list."""
        return self._replace(lists=rows.with_room(self.lists, room))


def continuous(
    requests: Records,
    fleet: Fleet,
    room: int,
    *,
    most_sequences: int = 256,
    most_tokens: int = 2048,
    block_tokens: int = 16,
    gaps: Ints | None = None,
    cache: PrefixCache | None = None,
    priorities: Ints | None = None,
) -> Continuous:
    """The scheduler before the first request; `gaps` is of `gaps.no_gaps`, `cache` of `prefix_cache`.

    `priorities` are the requests', the lowest number first; None is first come first served.
    """
    most_held = free_tokens(fleet, block_tokens=block_tokens)
    simulations.check_room(requests["prompt_tokens"] + requests["output_tokens"], most_held)
    check_priced(fleet, most_tokens=max(most_tokens, most_sequences))
    lists = rows.empty(2, fleet.servers.size, room)
    prefills, sequences = np.zeros(fleet.servers.size, np.int64), np.zeros(requests.size, SEQUENCE)
    counted, ranks = (np.zeros(0, np.int64) if one is None else one for one in (gaps, priorities))
    kept = prefix_caches.no_cache() if cache is None else cache
    limits = most_sequences, most_tokens, block_tokens
    return Continuous(*limits, sequences, lists, prefills, counted, kept, ranks)


@handles(handlers.arrive, Continuous)
def arrive(state: Continuous, simulation: Simulation, index: int) -> None:
    """Let the request wait on the server of its prompt."""
    _wait(state, simulation, simulation.requests[index].prompt_server, index)


@handles(handlers.receive, Continuous)
def receive(state: Continuous, simulation: Simulation, index: int) -> None:
    """Let the request wait on the server of its answer; the other one may have had no room for its next."""
    request, sizes = simulation.requests[index], state.lists.sizes
    prefix_caches.end_use(state.cache, simulation, request.prompt_server, index)
    _wait(state, simulation, request.token_server, index)
    if sizes[RUNNING, request.prompt_server] == 0 and sizes[WAITING, request.prompt_server] > 0:
        _begin(state, simulation, request.prompt_server)


@handles(handlers.is_full, Continuous)
def is_full(state: Continuous, simulation: Simulation, index: int) -> bool:
    """A server's requests wait or run."""
    return bool(rows.most(state.lists, WAITING, RUNNING) + 2 >= state.lists.items.shape[2])


@handles(handlers.end_step, Continuous)
def end_step(state: Continuous, simulation: Simulation, index: int) -> None:
    """Take the tokens of the step, and fill the next one."""
    _finish(state, simulation, index)
    _begin(state, simulation, index)


@compiled
def _wait(state: Continuous, simulation: Simulation, server: int, index: int) -> None:  # noqa: PLR0917
    first, last = _first_without_memory(state, server), state.lists.sizes[WAITING, server]
    if state.sequences[index].blocks > 0:
        first, last = 0, first
    orders.wait(state.lists, state.priorities, server, index, first, last, False)
    simulation.fleet.servers[server].waiting += 1
    if state.lists.sizes[RUNNING, server] == 0:
        _begin(state, simulation, server)
    elif state.prefills[server] == 0:
        events.cut_steps(simulation.events, server, simulation.now_s[0])


@compiled
def _first_without_memory(state: Continuous, server: int) -> int:
    """The place behind waiting requests whose KV has come: what they hold, nobody else gets by waiting."""
    place = 0
    while place < state.lists.sizes[WAITING, server]:
        if state.sequences[state.lists.items[WAITING, server, place]].blocks == 0:
            break
        place += 1
    return place


@compiled
def _left(state: Continuous, simulation: Simulation, index: int) -> int:
    """Tokens of a request that have to be computed before its next one."""
    sequence = state.sequences[index]
    return int(simulation.requests[index].prompt_tokens + sequence.made - sequence.computed)


@compiled
def _grow(  # noqa: PLR0917
    state: Continuous, simulation: Simulation, server: int, index: int, tokens: int
) -> bool:
    """Take a server's blocks for so many tokens more; False if it has no room."""
    sequence = state.sequences[index]
    needed = -(-(sequence.computed + tokens) // state.block_tokens) - sequence.blocks
    new_bytes = needed * state.block_tokens * simulation.fleet.token_bytes
    if needed > 0:
        if not simulations.has_room(simulation, server, new_bytes):
            return False
        simulations.take(simulation, server, index, new_bytes)
        prefix_caches.give_way(state.cache, simulation, server)
        sequence.blocks += needed
    return True


@compiled
def _begin(state: Continuous, simulation: Simulation, server: int) -> None:
    """Fill a step, or a run of steps in which nothing changes."""
    budget, preempted = _continue(state, simulation, server)
    lists = state.lists
    while budget == state.most_tokens and lists.sizes[RUNNING, server] > 0:
        budget, preempted = _continue(state, simulation, server)  # the first had to give way
    if lists.sizes[RUNNING, server] == 0:
        preempted = False
    while not preempted and budget > 0 and lists.sizes[WAITING, server] > 0:
        index = lists.items[WAITING, server, 0]
        if lists.sizes[RUNNING, server] >= state.most_sequences:
            break
        tokens = _start(state, simulation, server, index, budget)
        if tokens == 0:
            break
        rows.remove(lists, WAITING, server, index)
        simulation.fleet.servers[server].waiting -= 1
        rows.append(lists, RUNNING, server, index)
        state.sequences[index].now = tokens
        budget -= tokens
    if lists.sizes[RUNNING, server] == 0:
        if lists.sizes[WAITING, server] == 0:
            handlers.be_idle(simulation.router, simulation, server)
        return
    _plan(state, simulation, server)


@compiled
def _start(  # noqa: PLR0917
    state: Continuous, simulation: Simulation, server: int, index: int, budget: int
) -> int:
    """Let a waiting request use what its server has kept of its prompt; tokens to compute, 0 without room."""
    sequence, cache, left = state.sequences[index], state.cache, _left(state, simulation, index)
    blocks = prefix_caches.found(cache, server, index, left - 1) if sequence.computed == 0 else 0
    if blocks > 0:
        prefix_caches.use(cache, simulation, server, index, blocks)
        sequence.computed = blocks * cache.block_tokens
        sequence.blocks = sequence.computed // state.block_tokens
    tokens = min(_left(state, simulation, index), budget)
    if _grow(state, simulation, server, index, tokens):
        prefix_caches.note_hits(cache, index, blocks)
        return int(tokens)
    if blocks > 0:
        prefix_caches.end_use(cache, simulation, server, index)
        sequence.computed = sequence.blocks = 0
    return 0


@compiled
def _continue(state: Continuous, simulation: Simulation, server: int) -> tuple[int, bool]:
    """Give running requests their tokens; what is left of the budget, and whether one was preempted."""
    lists, budget, place, preempted = state.lists, state.most_tokens, 0, False
    while place < lists.sizes[RUNNING, server]:
        index = lists.items[RUNNING, server, place]
        tokens = min(_left(state, simulation, index), budget)
        while not _grow(state, simulation, server, index, tokens):
            at = orders.victim(lists, state.priorities, server)
            victim = lists.items[RUNNING, server, at]
            _preempt(state, simulation, server, victim)
            preempted = True
            if at < place:
                budget, place = budget + state.sequences[victim].now, place - 1
            if victim == index:
                for later in lists.items[RUNNING, server, place : lists.sizes[RUNNING, server]]:
                    state.sequences[later].now = 0
                return budget, True
        state.sequences[index].now = tokens
        budget -= tokens
        place += 1
    return budget, preempted


@compiled
def _preempt(state: Continuous, simulation: Simulation, server: int, index: int) -> None:  # noqa: PLR0917
    """Free a running request's memory and let it wait again."""
    sequence, lists = state.sequences[index], state.lists
    simulations.free(simulation, server, index)
    prefix_caches.end_use(state.cache, simulation, server, index)
    simulation.requests[index].held_bytes = sequence.blocks = sequence.computed = 0
    rows.remove(lists, RUNNING, server, index)
    first, last = _first_without_memory(state, server), lists.sizes[WAITING, server]
    orders.wait(lists, state.priorities, server, index, first, last, True)
    simulation.fleet.servers[server].waiting += 1


@compiled
def _plan(state: Continuous, simulation: Simulation, server: int) -> None:
    """Let the step run; where all make tokens and nobody waits, as many as until the first change."""
    lists, fleet, steps = state.lists, simulation.fleet, np.inf
    decoding, context, prefill, pairs = 0, 0, 0, 0.0
    size = lists.sizes[RUNNING, server]
    for index in lists.items[RUNNING, server, :size]:
        sequence, request = state.sequences[index], simulation.requests[index]
        steps = min(steps, float(request.output_tokens - sequence.made))
        if sequence.now > 0 and (sequence.made == 0 or _left(state, simulation, index) > 1):
            prefill += sequence.now
            pairs += sequence.now * (sequence.computed + sequence.now / 2.0)
        elif sequence.now > 0:
            decoding += 1
            context += sequence.computed + 1
    mine = fleet.servers[server]
    extra = fleet.extras[mine.kind]
    free_blocks = (mine.memory_bytes - mine.used_bytes) // (state.block_tokens * fleet.token_bytes)
    quiet = prefill == 0 and lists.sizes[WAITING, server] == 0
    bounded = min(steps, float(free_blocks // size * state.block_tokens)) if quiet else 1.0
    times: Any = fleet.prompt_s if prefill > 0 else fleet.token_s
    step_s = times[mine.kind, decoding + prefill] + extra.context_s * context + extra.pair_s * pairs
    step_s += extra.decode_s * decoding if prefill > 0 else 0.0
    state.prefills[server] = prefill
    events.begin_steps(
        simulation.events, server, simulation.now_s[0], step_s, extra.context_s * decoding, max(1.0, bounded)
    )


@compiled
def _finish(state: Continuous, simulation: Simulation, server: int) -> None:
    """Take the tokens of the steps; who has all is done, and a prompt that is served elsewhere is sent."""
    lists, place, further = state.lists, 0, 0
    steps = int(simulation.events.steps[server].steps)
    for index in lists.items[RUNNING, server, : lists.sizes[RUNNING, server]]:
        _grow(state, simulation, server, index, state.sequences[index].now + steps - 1)
    while place < lists.sizes[RUNNING, server]:
        index = lists.items[RUNNING, server, place]
        sequence, request = state.sequences[index], simulation.requests[index]
        is_whole = sequence.now >= _left(state, simulation, index)
        sequence.computed += sequence.now + steps - 1
        if sequence.now > 1 or sequence.made == 0:
            prefix_caches.keep(state.cache, simulation, server, index, sequence.computed)
        if not is_whole:
            place += 1
            continue
        if sequence.made == 0:
            simulations.end_prompt(simulation, server, index)
        else:
            further += steps
        sequence.made += steps
        if sequence.made < request.output_tokens and request.token_server == server:
            place += 1
            continue
        rows.remove(lists, RUNNING, server, index)
        if sequence.made < request.output_tokens:
            request.shared_bytes = prefix_caches.used_bytes(state.cache, index)
            transfers.send(simulation, index)
        else:
            simulations.end_answer(simulation, server, index)
            prefix_caches.end_use(state.cache, simulation, server, index)
    if state.gaps.size > 0 and further > 0:
        count(state.gaps, events.mean_step_s(simulation.events, server), further)
