"""
The requests of one span of time on their servers, with those that the span before has left.

Weeks of requests don't fit into memory at once, and a plant's queue is made whole. So a row is given span
after span, each with a clock of its own: what is in a batch, under prefill or waiting at a span's end comes
first in the queue of the next one.
"""

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.plant.engine import Queue, Servers

NOBODY = -1


def servers_of(queue: Queue) -> Ints:
    """The server of each request of a queue."""
    return np.repeat(np.arange(queue.starts.size - 1), np.diff(queue.starts))


def unfinished(servers: Servers, queue: Queue) -> Ints:
    """The requests that aren't done: by server, those of its batch, then under prefill, then waiting."""
    parts = []
    for server in range(servers.head.size):
        parts.append(servers.members[server, : servers.batch[server]])
        if servers.prefilling[server] != NOBODY:
            parts.append(servers.prefilling[server : server + 1])
        parts.append(np.arange(servers.head[server], queue.starts[server + 1]))
    return np.concatenate(parts)


def after(servers: Servers, queue: Queue, new: Queue, *, span_s: float) -> tuple[Queue, Servers]:
    """The next span's queue: what a span of so many seconds has left, and `new` requests on the next
    clock.
    """
    left = unfinished(servers, queue)
    left_server = servers_of(queue)[left]
    server = np.concatenate([left_server, servers_of(new)])
    order = np.argsort(server, kind="stable")
    starts = np.searchsorted(server[order], np.arange(queue.starts.size))
    places = np.empty(order.size, np.int64)
    places[order] = np.arange(order.size)
    in_batch = np.zeros(left.size, np.bool_)
    moved = Servers._make(array.copy() for array in servers)
    is_prefilling = servers.prefilling != NOBODY
    moved.head[:] = starts[:-1] + servers.batch + is_prefilling
    moved.prefilling[is_prefilling] = (starts[:-1] + servers.batch)[is_prefilling]
    for one in range(servers.head.size):
        count = servers.batch[one]
        first = int(np.searchsorted(left_server, one))
        moved.members[one, :count] = places[first : first + count]
        in_batch[first : first + count] = True
    ttft_s = np.where(in_batch, queue.ttft_s[left], np.nan)
    joined = Queue(
        starts=starts,
        arrival_s=np.concatenate([queue.arrival_s[left] - span_s, new.arrival_s])[order],
        prefill_s=np.concatenate([queue.prefill_s[left], new.prefill_s])[order],
        prefill_watts=np.concatenate([queue.prefill_watts[left], new.prefill_watts])[order],
        output_tokens=np.concatenate([queue.output_tokens[left], new.output_tokens])[order],
        ttft_s=np.concatenate([ttft_s, new.ttft_s])[order],
        latency_s=np.full(order.size, np.nan),
    )
    return joined, moved


def finished(servers: Servers, queue: Queue) -> tuple[Ints, Floats, Floats]:
    """Of the requests that are done: their servers, times to the first token, and to the last."""
    is_done = np.ones(queue.arrival_s.size, np.bool_)
    is_done[unfinished(servers, queue)] = False
    return servers_of(queue)[is_done], queue.ttft_s[is_done], queue.latency_s[is_done]
