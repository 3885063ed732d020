"""
What a simulation consists of: its time, requests, servers, router and events, all of it arrays.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving.events import Events
from loadline_sim.serving.records import Records, record
from loadline_sim.serving.servers import Fleet, free_tokens
from loadline_sim.traffic.traces import Trace

REQUEST: Final = record(
    (
        "prompt_tokens",
        "output_tokens",
        "held_bytes",
        "shared_bytes",
        "prompt_server",
        "token_server",
        "is_sent",
    ),
    floats=("arrival_s", "first_token_s", "last_token_s"),
)
"""Servers are -1 until they are chosen, times of tokens NaN until they are out. `held_bytes` is the memory
that a request has on a server for itself, `shared_bytes` that of a prompt on its way which others use too;
`is_sent` is 1 since its KV went to another one."""


class Simulation(NamedTuple):
    """What routers and schedulers work on. It is `now_s[0]`, and `arrived[0]` requests have arrived."""

    now_s: Floats
    arrived: Ints
    requests: Records
    fleet: Fleet
    router: Any
    events: Events


def check(trace: Trace, fleet: Fleet) -> None:
    """Raise InvalidTrace for the first request that can't be simulated."""
    prompt, output, longest = trace.prompt_tokens, trace.output_tokens, fleet.prompt_s.shape[1] - 1
    ordered = np.diff(trace.arrival_s, prepend=0.0) >= 0
    refuse_unless(ordered, "arrival_s", trace.arrival_s, fix="sort the trace by arrival, from 0 on")
    refuse_unless(prompt >= 1, "prompt_tokens", prompt, fix="a prompt has 1 token or more")
    refuse_unless(output >= 1, "output_tokens", output, fix="an answer has 1 token or more")
    refuse_unless(prompt <= longest, "prompt_tokens", prompt, fix=f"at most {longest} are priced")
    check_room(prompt + output, free_tokens(fleet))


def check_room(tokens: Ints, most: int) -> None:
    """Raise InvalidTrace for the first request that no server holds: it would wait for ever."""
    refuse_unless(tokens <= most, "tokens", tokens, fix=f"a server holds {most}")


def refuse_unless(good: Any, field: str, values: Any, *, fix: str) -> None:
    """Raise InvalidTrace for the first request of which something isn't so."""
    if not good.all():
        first = int(good.argmin())
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
def assign(simulation: Simulation, server: int, index: int) -> None:
    """Let one server serve all of a request, and promise it to that."""
    request, it = simulation.requests[index], simulation.fleet.servers[server]
    request.prompt_server = request.token_server = server
    it.pending_tokens += request.prompt_tokens + 1
    it.promised_bytes += (request.prompt_tokens + request.output_tokens) * simulation.fleet.token_bytes


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
def end_answer(simulation: Simulation, server: int, index: int) -> None:
    """Let a request's last token be out on a server, and clear the accounts of it."""
    request, fleet = simulation.requests[index], simulation.fleet
    request.last_token_s = simulation.now_s[0]
    fleet.servers[request.token_server].pending_tokens -= 1
    settle(simulation, request.token_server, request.prompt_tokens + request.output_tokens)
    if request.token_server != server:  # an answer of one token, which was never sent
        settle(simulation, server, request.prompt_tokens + 1)
    free(simulation, server, index)


@compiled
def end_prompt(simulation: Simulation, server: int, index: int) -> None:
    """Let a request's first token be out on a server."""
    request = simulation.requests[index]
    request.first_token_s = simulation.now_s[0]
    simulation.fleet.servers[server].pending_tokens -= request.prompt_tokens


@compiled
def settle(simulation: Simulation, server: int, tokens: int) -> None:
    """Take from a server's account the memory that was promised for so many tokens."""
    simulation.fleet.servers[server].promised_bytes -= tokens * simulation.fleet.token_bytes
