"""
The servers of a simulation, and the accounts by which requests are routed to them.

A router adds what it has promised when it chooses a server, and the scheduler takes it off again when
tokens are done and memory is freed; so the two know of each other only through these accounts.
"""

from typing import Final, NamedTuple

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats, Ints
from loadline_sim.serving.records import Records, record

SERVER: Final = record(("kind", "memory_bytes", "used_bytes", "promised_bytes", "pending_tokens", "waiting"))
"""`kind` is hardware and model, `memory_bytes` all that there is. `used_bytes` of it are taken by weights and
requests that have started, `promised_bytes` also by those that are routed here. `pending_tokens` are prompt
tokens and answers that aren't done, `waiting` tasks that aren't in a batch."""


EXTRAS: Final = record((), floats=("decode_s", "context_s", "pair_s"))
"""Of a kind, seconds of a step beyond the tables: for each request that decodes in a step with prompts; for
each token that decoding requests hold; for each pair of a prompt's token and one at or before it."""


class Fleet(NamedTuple):
    """Servers, and what is the same for all of them.

    A step takes `prompt_s` if it has prompts, else `token_s`, by kind and by the tokens of its batch, and
    the `extras` of its kind, which only schedulers that know contexts add. A token takes `token_bytes` of
    KV, of which `bytes_per_s` can be sent from one server to another.
    """

    servers: Records
    prompt_s: Floats
    token_s: Floats
    extras: Records
    token_bytes: int
    bytes_per_s: float


def servers_of(kind: Ints, *, memory_bytes: int, weight_bytes: int) -> Records:
    """Servers of these kinds with their weights and nothing else."""
    servers = np.zeros(kind.size, SERVER)
    servers["kind"], servers["memory_bytes"] = kind, memory_bytes
    servers["used_bytes"] = servers["promised_bytes"] = weight_bytes
    return servers


def no_extras(kinds: int) -> Records:
    """Nothing beyond the tables."""
    return np.zeros(kinds, EXTRAS)


def free_tokens(fleet: Fleet, *, block_tokens: int = 1) -> int:
    """Tokens, in whole blocks, for which each server has room now."""
    servers = fleet.servers
    free_bytes = int((servers["memory_bytes"] - servers["used_bytes"]).min()) if servers.size else 0
    return free_bytes // (block_tokens * fleet.token_bytes) * block_tokens


def check_priced(fleet: Fleet, *, most_tokens: int) -> None:
    """Raise InvalidInput if a step may have more tokens than the tables have times for."""
    priced = min(fleet.prompt_s.shape[1], fleet.token_s.shape[1]) - 1
    if most_tokens > priced:
        raise InvalidInput("tokens of a step", most_tokens, fix=f"the tables of times end at {priced}")
