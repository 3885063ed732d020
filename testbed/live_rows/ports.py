"""
Ports for a row of agents on one machine.

An agent publishes its port before it opens it, and opens the same one again after it
was killed. A port that the kernel might give to somebody's outgoing connection
meanwhile won't do, so these lie below the ephemeral range; a random beginning keeps
two rows apart.
"""

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now; OSError when there aren't so many."""
    highest = int(RANGE_FILE.read_text().split()[0])
    start = random.randrange(LOWEST, highest)
    candidates = (LOWEST + (start - LOWEST + step) % (highest - LOWEST) for step in range(highest - LOWEST))
    ports = [port for port, _ in zip(_free(candidates), range(count), strict=False)]
    if len(ports) < count:
        raise OSError(f"only {len(ports)} of {count} ports between {LOWEST} and {highest} are free")
    return ports


def _free(candidates: Iterator[int]) -> Iterator[int]:
    for port in candidates:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            yield port
