"""
Two servers drawn at random, and of these the one with fewer pending tokens.

Nearly as even as the fewest of all, and a router needs to ask only two servers. So SGLang's router does as
`power_of_two`; why two are enough is in Mitzenmacher, «The power of two choices in randomized load balancing»
(IEEE TPDS 2001). With a seed the servers drawn are the same each time, on each machine.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadline_sim.compiled import compiled
from loadline_sim.serving import handlers, simulations
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.simulations import Simulation

STRIDE: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)
"""Of the generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose state is one number."""


class PowerOfTwo(NamedTuple):
    """`drawn[0]` is the state of its generator."""

    drawn: NDArray[np.uint64]


def power_of_two(*, seed: int = 1) -> PowerOfTwo:
    """The router before its first request; `seed` is 0 or more."""
    return PowerOfTwo(np.array([seed], np.uint64))


@handles(handlers.route, PowerOfTwo)
def route(state: PowerOfTwo, simulation: Simulation, index: int) -> None:
    """Choose the server of a request."""
    servers = simulation.fleet.servers
    best = draw(state.drawn, servers.size)
    if servers.size > 1:
        other = draw(state.drawn, servers.size - 1)
        if other >= best:
            other += 1
        if servers[other].pending_tokens < servers[best].pending_tokens:
            best = other
    simulations.assign(simulation, best, index)


@compiled
def draw(drawn: Any, count: int) -> int:
    """A number from 0 to `count` - 1; those of 2**64 that don't divide evenly make it uneven by nothing."""
    drawn[0] += STRIDE
    mixed = drawn[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST_FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND_FACTOR
    return np.int64((mixed ^ (mixed >> np.uint64(31))) % np.uint64(count))  # type: ignore[return-value]


@handles(handlers.be_idle, PowerOfTwo)
def be_idle(state: PowerOfTwo, simulation: Simulation, index: int) -> None:
    """A server that has nothing to do has no pending tokens."""
