"""
How many handshakes an address may fail before it isn't listened to for a while.

A failed handshake costs the event loop a millisecond, and who can't say who it is may try a
thousand times a second: the leases of a whole row would come late. So each address has a few
failures to spare, which come back slowly; one that has spent them is turned away before anything
is computed. Members have addresses of their own, and hardly ever fail.

The number of addresses that is remembered is bounded, too; the one that has failed longest ago
is forgotten first.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

BURST: Final = 20.0
"""Failures that an address has to spare. Chosen: a member that is unknown yet fails once a second."""

PER_S: Final = 5.0
"""How many of them come back in a second. Chosen: half a percent of a processor."""

MOST_ADDRESSES: Final = 1024
"""Addresses remembered: half of the largest row. Chosen."""


class FailureBudget:
    """Failures of addresses; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}

    def allows(self, source: str) -> bool:
        """Whether an address may try once more."""
        return self._spent_now(source) < BURST

    def failed(self, source: str) -> None:
        """An address has failed once."""
        spent = self._spent_now(source) + 1.0
        self._spent.pop(source, None)
        self._spent[source] = spent, self._clock()
        if len(self._spent) > MOST_ADDRESSES:
            del self._spent[next(iter(self._spent))]

    def _spent_now(self, source: str) -> float:
        spent, when_s = self._spent.get(source, (0.0, 0.0))
        return max(0.0, spent - PER_S * (self._clock() - when_s))


def source_of(host: str) -> str | None:
    """What an address is counted by: an IPv6 network of 64 bits is one host's. None for our own host."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    found = found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
    if found.is_loopback:
        return None
    return str(found) if isinstance(found, IPv4Address) else found.exploded[:19]
