"""
Prefill and decode apart: some servers compute prompts only, the others answers only, and none changes.

A prompt goes to the prefill server with the fewest pending tokens, its answer to the decode server with the
least promised memory; of equals to the first. So do the routers of vLLM and Dynamo, apart from prefix hits.
"""

from typing import NamedTuple

from loadline_sim.serving import handlers
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.simulations import Simulation


class SeparatePools(NamedTuple):
    """The first so many servers compute prompts."""

    prefill_servers: int


@handles(handlers.route, SeparatePools)
def route(state: SeparatePools, simulation: Simulation, index: int) -> None:
    """Choose the servers of a request's prompt and of its answer, and promise them its memory."""
    fleet, request = simulation.fleet, simulation.requests[index]
    servers, prompt, token = fleet.servers, 0, state.prefill_servers
    for server in range(1, state.prefill_servers):
        if servers[server].pending_tokens < servers[prompt].pending_tokens:
            prompt = server
    for server in range(state.prefill_servers + 1, servers.size):
        if servers[server].promised_bytes < servers[token].promised_bytes:
            token = server
    request.prompt_server, request.token_server = prompt, token
    prompt_bytes = (request.prompt_tokens + 1) * fleet.token_bytes
    servers[prompt].promised_bytes += prompt_bytes
    servers[token].promised_bytes += prompt_bytes + (request.output_tokens - 1) * fleet.token_bytes
    servers[prompt].pending_tokens += request.prompt_tokens
    servers[token].pending_tokens += 1


@handles(handlers.be_idle, SeparatePools)
def be_idle(state: SeparatePools, simulation: Simulation, index: int) -> None:
    """A server that has nothing to do stays in its pool."""
