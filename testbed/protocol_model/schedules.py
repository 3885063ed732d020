"""
Pieces that schedules are made of: the same event on several nodes, and events that come again and again.
"""

from collections.abc import Iterator, Sequence

from testbed.protocol_model.adversaries import Event, Kind

Schedule = Sequence[tuple[int, Event]]
"""Events, each with the seconds that pass before it; what comes after no wait is in the same second."""

IDLE = (0, Event(Kind.IDLE))


def together(
    kind: Kind, nodes: Sequence[int], *, after_s: int = 0, watts: int = 0
) -> list[tuple[int, Event]]:
    """The same event on several nodes, in the same second."""
    return [(0 if place else after_s, Event(kind, node, watts)) for place, node in enumerate(nodes)]


def flapping(*, period_s: int, silent_s: int, times: int, node: int = 0) -> Iterator[tuple[int, Event]]:
    """A node that is silent for some seconds of every period."""
    for _ in range(times):
        yield period_s - silent_s, Event(Kind.MUTE, node)
        yield silent_s, Event(Kind.CONNECT, node)


def foreign(*, every_s: int, watts: int, times: int, node: int = 0) -> list[tuple[int, Event]]:
    """Somebody who sets a node's limit again and again."""
    return [(every_s, Event(Kind.FOREIGN, node, watts)) for _ in range(times)]
