"""
The servers of a simulation, and the accounts by which requests are routed to them.

A router adds what it has promised when it chooses a server, and the scheduler takes it off again when
tokens are done and memory is freed; so the two know of each other only through these accounts.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadline_sim.serving.events import Records
from loadline_sim.serving.rows import Floats

_INTEGERS = "kind", "memory_bytes", "used_bytes", "promised_bytes", "pending_tokens", "waiting"
SERVER: Final = np.dtype([(name, "i8") for name in _INTEGERS])
"""`kind` is hardware and model, `memory_bytes` all that there is. `used_bytes` of it are taken by weights and
requests that have started, `promised_bytes` also by those that are routed here. `pending_tokens` are prompt
tokens and answers that aren't done, `waiting` tasks that aren't in a batch."""


class Fleet(NamedTuple):
    """Servers, and what is the same for all of them.

    A step takes `prompt_s` if it has prompts, else `token_s`, by kind and by the tokens of its batch. A token
    takes `token_bytes` of KV, of which `bytes_per_s` can be sent from one server to another.
    """

    servers: Records
    prompt_s: Floats
    token_s: Floats
    token_bytes: int
    bytes_per_s: float


def servers_of(kind: NDArray[np.int64], *, memory_bytes: int, weight_bytes: int) -> Records:
    """Servers of these kinds with their weights and nothing else."""
    servers = np.zeros(kind.size, SERVER)
    servers["kind"], servers["memory_bytes"] = kind, memory_bytes
    servers["used_bytes"] = servers["promised_bytes"] = weight_bytes
    return servers
