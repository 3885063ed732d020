"""
To the server with the least left to compute: its pending tokens, and what it hasn't kept of the prompt.

As Dynamo's KV router does with its overlap weight of 1, but with pending tokens for its blocks under way. A
prompt that begins as one before follows it, unless its server has so much to do that computing it again
elsewhere is less. It knows what servers keep at once and exactly; real routers hear of it by events.
"""

from typing import NamedTuple

import numpy as np

from loadline_sim.serving import handlers, prefix_caches, simulations
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.prefix_caches import PrefixCache
from loadline_sim.serving.simulations import Simulation


class PrefixAware(NamedTuple):
    """`cache` is the scheduler's own. Of equals the first is chosen."""

    cache: PrefixCache


@handles(handlers.route, PrefixAware)
def route(state: PrefixAware, simulation: Simulation, index: int) -> None:
    """Choose the server of a request, and promise it its memory."""
    servers, request, best, least = simulation.fleet.servers, simulation.requests[index], 0, np.inf
    for server in range(servers.size):
        kept = prefix_caches.found(state.cache, server, index, request.prompt_tokens - 1)
        left = servers[server].pending_tokens + request.prompt_tokens - kept * state.cache.block_tokens
        if left < least:
            best, least = server, left
    simulations.assign(simulation, best, index)


@handles(handlers.be_idle, PrefixAware)
def be_idle(state: PrefixAware, simulation: Simulation, index: int) -> None:
    """A server that has nothing to do keeps what it has."""
