"""
Join the shortest queue, in tokens: prompt and answer go to the server with the fewest pending tokens.

As `token_jsq` of splitwise-sim: a prompt counts its tokens until it is done, an answer counts one.
"""

from typing import NamedTuple

from loadline_sim.serving import handlers, simulations
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.simulations import Simulation


class TokenQueues(NamedTuple):
    """It remembers nothing; the compiler knows no tuple without a field. Of equals the first is chosen."""

    unused: int = 0


@handles(handlers.route, TokenQueues)
def route(state: TokenQueues, simulation: Simulation, index: int) -> None:
    """Choose the server of a request."""
    servers, best = simulation.fleet.servers, 0
    for server in range(1, servers.size):
        if servers[server].pending_tokens < servers[best].pending_tokens:
            best = server
    simulations.assign(simulation, best, index)


@handles(handlers.be_idle, TokenQueues)
def be_idle(state: TokenQueues, simulation: Simulation, index: int) -> None:
    """A server that has nothing to do has no pending tokens."""
