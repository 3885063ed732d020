"""
Splitwise's cluster-level scheduling: pools of servers for prompts and for tokens, and one for both.

A prompt goes to the prompt server with the fewest pending tokens, its answer to the token server with the
least promised memory. If that queue is long or that memory full, the pool of both is tried, and then a
server of the other pool moves into it, until it has nothing to do. As `mixed_pool` of splitwise-sim
(Mutinifni/splitwise-sim 8f99e7d, MIT; Patel et al., ISCA 2024), with its order among equals.
"""

from typing import NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving import handlers, rows
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.rows import Rows
from loadline_sim.serving.simulations import Simulation

PROMPT, TOKEN, MIXED = range(3)
"""Pools, and what a server is at home in."""


class MixedPools(NamedTuple):
    """`pools` are rows of servers, in the order in which they joined; `home` is by server."""

    pools: Rows
    home: Ints
    long_queue_tokens: int


def mixed_pools(home: Ints, *, long_queue_tokens: int = 8192) -> MixedPools:
    """Every server at home; `home` is PROMPT or TOKEN, by server."""
    pools = rows.empty(3, 1, home.size + 2)
    for server, pool in enumerate(home):
        rows.append(pools, int(pool), 0, server)
    return MixedPools(pools, home.astype(np.int64), long_queue_tokens)


@compiled
def _least(state: MixedPools, amounts: Ints, pool: int) -> int:
    """The first server of a pool with the least amount, -1 of none."""
    best = -1
    for server in state.pools.items[pool, 0, : state.pools.sizes[pool, 0]]:
        if best < 0 or amounts[server] < amounts[best]:
            best = server
    return best


@compiled
def _lend(state: MixedPools, server: int, pool: int) -> None:
    """Move a server from its pool to that of both."""
    rows.remove(state.pools, pool, 0, server)
    rows.append(state.pools, MIXED, 0, server)


@handles(handlers.route, MixedPools)
def route(state: MixedPools, simulation: Simulation, index: int) -> None:
    """Choose the servers of a request's prompt and of its answer, and promise them its memory."""
    fleet, request = simulation.fleet, simulation.requests[index]
    servers, tokens, prompt, token = fleet.servers, request.prompt_tokens, -1, -1
    pending, promised = servers["pending_tokens"], servers["promised_bytes"]
    prompt_bytes = (tokens + 1) * fleet.token_bytes
    token_bytes = (request.output_tokens - 1) * fleet.token_bytes
    for pool in (PROMPT, MIXED):
        best = _least(state, pending, pool)
        if prompt < 0 <= best and (
            servers[best].waiting == 0 or pending[best] + tokens <= state.long_queue_tokens
        ):
            prompt = best
    for pool in (TOKEN, MIXED):
        best = _least(state, promised, pool)
        need = prompt_bytes + token_bytes
        if token < 0 <= best and promised[best] + need < servers[best].memory_bytes:
            token = best
    if prompt < 0 and state.pools.sizes[TOKEN, 0] > 0:
        prompt = _least(state, pending, TOKEN)
        _lend(state, prompt, TOKEN)
    if token < 0 and state.pools.sizes[PROMPT, 0] > 0:
        token = _least(state, promised, PROMPT)
        _lend(state, token, PROMPT)
    if prompt < 0 or token < 0:
        prompt = token = _least_of_all(state, pending)
    promised[prompt] += prompt_bytes
    promised[token] += token_bytes + (prompt_bytes if prompt != token else 0)
    pending[prompt] += tokens
    pending[token] += 1
    request.prompt_server, request.token_server = prompt, token


@compiled
def _least_of_all(state: MixedPools, amounts: Ints) -> int:
    best = -1
    for pool in (PROMPT, MIXED, TOKEN):
        server = _least(state, amounts, pool)
        if server >= 0 and (best < 0 or amounts[server] < amounts[best]):
            best = server
    return best


@handles(handlers.be_idle, MixedPools)
def be_idle(state: MixedPools, simulation: Simulation, index: int) -> None:
    """A server of both pools that has nothing to do goes home."""
    if rows.remove(state.pools, MIXED, 0, index):
        rows.append(state.pools, state.home[index], 0, index)
