"""
What a simulation consists of: its time, requests, servers, router and events, all of it arrays.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from loadline_policies.errors import InvalidTrace
from loadline_sim.compiled import compiled
from loadline_sim.serving.events import Events, Records
from loadline_sim.serving.rows import Floats, Ints
from loadline_sim.serving.servers import Fleet
from loadline_sim.traffic.traces import Trace

_TIMES = "arrival_s", "first_token_s", "last_token_s"
_INTEGERS = "prompt_tokens", "output_tokens", "held_bytes", "prompt_server", "token_server", "is_sent"
REQUEST: Final = np.dtype([*((name, "f8") for name in _TIMES), *((name, "i8") for name in _INTEGERS)])
"""Servers are -1 until they are chosen, times of tokens NaN until they are out. `held_bytes` is the memory
that a request has on a server; `is_sent` is 1 since its KV went to another one."""


class Simulation(NamedTuple):
    """What routers and schedulers work on. It is `now_s[0]`, and `arrived[0]` requests have arrived."""

    now_s: Floats
    arrived: Ints
    requests: Records
    fleet: Fleet
    router: Any
    events: Events


def check(trace: Trace, fleet: Fleet) -> None:
    """Raise InvalidTrace for the first request that can't be simulated: it would wait for ever."""
    free_bytes = fleet.servers["memory_bytes"] - fleet.servers["used_bytes"]
    room = int(free_bytes.min()) if free_bytes.size else 0
    whole = (trace.prompt_tokens + trace.output_tokens) * fleet.token_bytes
    longest = fleet.prompt_s.shape[1] - 1
    steps_s = np.diff(trace.arrival_s, prepend=0.0)
    for bad, field, values, fix in (
        (~(steps_s >= 0), "arrival_s", trace.arrival_s, "sort the trace by arrival, from 0 on"),
        (trace.prompt_tokens < 1, "prompt_tokens", trace.prompt_tokens, "a prompt has 1 token or more"),
        (trace.output_tokens < 1, "output_tokens", trace.output_tokens, "an answer has 1 token or more"),
        (
            trace.prompt_tokens > longest,
            "prompt_tokens",
            trace.prompt_tokens,
            f"at most {longest} are priced",
        ),
        (
            whole > room,
            "tokens",
            trace.prompt_tokens + trace.output_tokens,
            f"a server holds {room // fleet.token_bytes}",
        ),
    ):
        if bad.any():
            first = int(bad.argmax())
            raise InvalidTrace(f"request {first}: {field}", values[first], fix=fix)


def requests_of(trace: Trace) -> Records:
    """The requests of a trace, none of them served yet."""
    requests = np.zeros(len(trace), REQUEST)
    for name in ("arrival_s", "prompt_tokens", "output_tokens"):
        requests[name] = getattr(trace, name)
    requests["first_token_s"] = requests["last_token_s"] = np.nan
    requests["prompt_server"] = requests["token_server"] = -1
    return requests


@compiled
def has_room(simulation: Simulation, server: int, new_bytes: int) -> bool:
    """Whether a server has so much memory left."""
    it = simulation.fleet.servers[server]
    return bool(it.used_bytes + new_bytes <= it.memory_bytes)


@compiled
def take(simulation: Simulation, server: int, request: int, new_bytes: int) -> None:  # noqa: PLR0917
    """Give a request more of a server's memory."""
    simulation.fleet.servers[server].used_bytes += new_bytes
    simulation.requests[request].held_bytes += new_bytes


@compiled
def free(simulation: Simulation, server: int, request: int) -> None:
    """Take from a server what a request has of its memory."""
    simulation.fleet.servers[server].used_bytes -= simulation.requests[request].held_bytes


@compiled
def settle(simulation: Simulation, server: int, tokens: int) -> None:
    """Take from a server's account the memory that was promised for so many tokens."""
    simulation.fleet.servers[server].promised_bytes -= tokens * simulation.fleet.token_bytes
