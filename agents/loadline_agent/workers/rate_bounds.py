"""
How often one sender may do something: a few times at once, and then at a steady pace.

A plugin reports every few seconds, but whoever reaches the port may send as fast as it likes. Each sender
has an allowance of its own, so that one that sends too much stops no other. The number of senders that are
remembered is bounded, too; the one that came longest ago is forgotten first.
"""

from collections.abc import Callable
from typing import Final

MOST_SENDERS: Final = 1024
"""Senders remembered: several times the pods of a node. Chosen."""


class RateBound:
    """At most `burst` times at once and `per_s` times a second, for each sender; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float], *, per_s: float, burst: float) -> None:
        self._clock, self._per_s, self._burst = clock, per_s, burst
        self._spent: dict[str, tuple[float, float]] = {}

    def allows(self, sender: str) -> bool:
        """Whether the sender may do it now; if so, it counts as done."""
        now = self._clock()
        spent, when_s = self._spent.pop(sender, (0.0, now))
        spent = max(0.0, spent - self._per_s * (now - when_s))
        allowed = spent + 1.0 <= self._burst
        self._spent[sender] = spent + 1.0 if allowed else spent, now
        if len(self._spent) > MOST_SENDERS:
            del self._spent[next(iter(self._spent))]
        return allowed
