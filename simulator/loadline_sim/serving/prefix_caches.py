"""
What each server keeps of prompts that it has computed, so that a prompt which begins alike needn't be.

As in vLLM: a block is kept once, by the ids of all that lies before it, and counts the requests that use it.
When none does it stays in memory that is free otherwise, and the least recently used one gives way where
memory is needed, of one request the last block first. A block is found as soon as it is computed, and only
blocks of prompts are: what a next prompt repeats of an answer is computed again.

Blocks are those of the trace, which may be several of the engine's.
"""

from typing import Final, NamedTuple

import numpy as np

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving import block_tables
from loadline_sim.serving.block_tables import BlockTable, block_of
from loadline_sim.serving.servers import Fleet, free_tokens
from loadline_sim.serving.simulations import Simulation
from loadline_sim.traffic.prefixes import Prefixes

NONE: Final = block_tables.NONE


class PrefixCache(NamedTuple):
    """The blocks that all servers keep, by server and id.

    Request `i` has the runs of ids `starts[i]` to `starts[i + 1]`, as in `Prefixes`. It uses its first
    `used[i]` blocks, and found `hits[i]` when it first started. A block has `block_tokens` tokens and takes
    `block_bytes`; without tokens nothing is kept.
    """

    block_tokens: int
    block_bytes: int
    ids: int
    starts: Ints
    firsts: Ints
    lengths: Ints
    table: BlockTable
    used: Ints
    hits: Ints


def no_cache() -> PrefixCache:
    """One that keeps nothing."""
    none = np.zeros(0, np.int64)
    return PrefixCache(0, 0, 0, none, none, none, block_tables.empty(0, 0), none, none)


def prefix_cache(prefixes: Prefixes, fleet: Fleet, *, block_tokens: int) -> PrefixCache:
    """An empty one for the requests of these prefixes; InvalidTrace if their blocks aren't whole ones of
    the engine's `block_tokens`.
    """
    if prefixes.block_tokens % block_tokens:
        fix = f"give a multiple of the engine's, {block_tokens}"
        raise InvalidTrace("tokens of a block", prefixes.block_tokens, fix=fix)
    servers = fleet.servers.size
    most = free_tokens(fleet, block_tokens=block_tokens) // prefixes.block_tokens + 1
    room = int(min(servers * most, servers * max(prefixes.ids, 1)))
    return PrefixCache(
        block_tokens=prefixes.block_tokens,
        block_bytes=prefixes.block_tokens * fleet.token_bytes,
        ids=max(prefixes.ids, 1),
        starts=prefixes.starts,
        firsts=prefixes.firsts,
        lengths=prefixes.lengths,
        table=block_tables.empty(servers, room),
        used=np.zeros(len(prefixes), np.int64),
        hits=np.full(len(prefixes), NONE, np.int64),
    )


@compiled
def found(cache: PrefixCache, server: int, request: int, most_tokens: int) -> int:  # noqa: PLR0917
    """How many of a request's leading blocks a server has, in whole blocks of so many tokens at most."""
    if cache.block_tokens == 0:
        return 0
    count, most = 0, most_tokens // cache.block_tokens
    for run in range(cache.starts[request], cache.starts[request + 1]):
        for one in range(cache.firsts[run], cache.firsts[run] + cache.lengths[run]):
            if count >= most or block_of(cache.table, server * cache.ids + one) == NONE:
                return count
            count += 1
    return count


@compiled
def use(cache: PrefixCache, simulation: Simulation, server: int, request: int, count: int) -> None:  # noqa: PLR0917
    """Let a request use so many of its leading blocks, all of which its server has."""
    left = count
    for run in range(cache.starts[request], cache.starts[request + 1]):
        for one in range(cache.firsts[run], cache.firsts[run] + min(left, cache.lengths[run])):
            block = block_of(cache.table, server * cache.ids + one)
            if cache.table.blocks[block].users == 0:
                block_tables.unlink(cache.table, server, block)
                simulation.fleet.servers[server].used_bytes += cache.block_bytes
            cache.table.blocks[block].users += 1
        left -= min(left, cache.lengths[run])
    cache.used[request] = count


@compiled
def note_hits(cache: PrefixCache, request: int, count: int) -> None:
    """Note how many blocks a request found when it first started."""
    if cache.block_tokens > 0 and cache.hits[request] == NONE:
        cache.hits[request] = count


@compiled
def used_bytes(cache: PrefixCache, request: int) -> int:
    """Bytes of the blocks that a request uses and doesn't hold for itself."""
    return int(cache.used[request] * cache.block_bytes) if cache.block_tokens > 0 else 0


@compiled
def keep(  # noqa: PLR0917
    cache: PrefixCache, simulation: Simulation, server: int, request: int, computed_tokens: int
) -> None:
    """Keep the whole blocks of a prompt that a request has computed so far; it uses them until it ends.

    Of a block that came in the meantime from another request its own copy is freed.
    """
    if cache.block_tokens == 0:
        return
    it, before = simulation.requests[request], 0
    whole = min(computed_tokens, it.prompt_tokens) // cache.block_tokens
    for run in range(cache.starts[request], cache.starts[request + 1]):
        behind = min(before + cache.lengths[run], whole)
        for place in range(max(before, cache.used[request]), behind):
            if not _kept(cache, simulation, server, server * cache.ids + cache.firsts[run] + place - before):
                return
            it.held_bytes -= cache.block_bytes
            cache.used[request] = place + 1
        before += cache.lengths[run]


@compiled
def _kept(cache: PrefixCache, simulation: Simulation, server: int, key: int) -> bool:  # noqa: PLR0917
    """Count a request that has computed a block as a user of it; False if there is no room to note it."""
    table = cache.table
    block = block_of(table, key)
    if block == NONE:
        block = block_tables.add(table, key)
        if block == NONE:
            return False
    elif table.blocks[block].users == 0:
        block_tables.unlink(table, server, block)
    else:
        simulation.fleet.servers[server].used_bytes -= cache.block_bytes
    table.blocks[block].users += 1
    return True


@compiled
def end_use(cache: PrefixCache, simulation: Simulation, server: int, request: int) -> None:  # noqa: PLR0917
    """Let a request use none of its blocks any more, the last of them first."""
    if cache.block_tokens == 0:
        return
    run, behind = cache.starts[request], cache.used[request]
    while behind > cache.lengths[run]:
        behind -= cache.lengths[run]
        run += 1
    while cache.used[request] > 0:
        block = block_of(cache.table, server * cache.ids + cache.firsts[run] + behind - 1)
        cache.table.blocks[block].users -= 1
        if cache.table.blocks[block].users == 0:
            block_tables.link(cache.table, server, block)
            simulation.fleet.servers[server].used_bytes -= cache.block_bytes
        cache.used[request] -= 1
        behind -= 1
        if behind == 0 and cache.used[request] > 0:
            run -= 1
            behind = cache.lengths[run]


@compiled
def give_way(cache: PrefixCache, simulation: Simulation, server: int) -> None:
    """Drop unused blocks, the least recently used first, until all that is in use has memory."""
    if cache.block_tokens == 0:
        return
    it, unused = simulation.fleet.servers[server], cache.table.unused[server]
    while unused.blocks > 0 and it.used_bytes + unused.blocks * cache.block_bytes > it.memory_bytes:
        block_tables.drop_oldest(cache.table, server)


def hit_share(cache: PrefixCache, prompt_tokens: Ints) -> float:
    """The share of prompt tokens that requests found when they first started; NaN without a cache."""
    if not cache.block_tokens:
        return float("nan")
    hit = int(np.maximum(cache.hits, 0).sum()) * cache.block_tokens
    return hit / max(int(prompt_tokens.sum()), 1)
