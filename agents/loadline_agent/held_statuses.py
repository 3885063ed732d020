"""
What the API shows of the services on one node, of figures that move with every request.

Each change in a NodeCapacity is a write to the API server and one more for the service's status. So what is
shown changes at once only where a person acts on it. Figures follow after some minutes, and only if they have
moved enough to be read otherwise; metrics have them as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, Self, TypeVar

HOLD_S: Final = 300.0
"""How long figures hold at least. Chosen."""

REPORTED_WITHIN_S: Final = 12.0
"""Engines that have not reported for longer hold no settings: as long as the lease of a worker."""


class Shown(Protocol):
    """A part of a service's status."""

    def acts_like(self, other: Self) -> bool:
        """Whether only figures differ, if anything does."""

    def as_moved_from(self, before: Self | None) -> Self:
        """`before`, unless there is none or this is news to it."""


E = TypeVar("E")
S = TypeVar("S", bound=Shown)


class HeldStatuses(Generic[E, S]):
    """One part of the statuses of a node's services, by `namespace/name`.

    `by_service` gives the engines that have reported lately, `status_of` what those of one service show. An
    agent that was restarted begins with what its predecessor has written, until all engines have had time to
    report again: so a restart turns no condition.
    """

    def __init__(
        self,
        by_service: Callable[[], Mapping[str, Sequence[E]]],
        status_of: Callable[[Sequence[E]], S],
        clock: Callable[[], float],
    ) -> None:
        self._by_service, self._status_of, self._clock = by_service, status_of, clock
        self._held: dict[str, tuple[S, float]] = {}
        self._recalled_until_s = float("-inf")

    def recall(self, shown: Mapping[str, S]) -> None:
        """Begin with what a predecessor has written."""
        now = self._clock()
        self._recalled_until_s = now + REPORTED_WITHIN_S
        self._held |= {service: (one, now) for service, one in shown.items()}

    def of(self, service: str) -> S | None:
        """What to show of a service now; None if no engine of it reports, or none was asked to."""
        now, held = self._clock(), self._held.get(service)
        if held is not None and now < self._recalled_until_s:
            return held[0]
        engines = self._by_service().get(service)
        if engines is None:
            self._held.pop(service, None)
            return None
        found = self._status_of(engines)
        if held is None or not found.acts_like(held[0]):
            held = found, now
        elif now - held[1] >= HOLD_S:
            held = found.as_moved_from(held[0]), now
        self._held[service] = held
        return held[0]
