"""
Figures that the nodes of a service report, put together into one.

Counters are added up, and of reasons the gravest is shown: one engine that fails is not hidden by others that
don't. A figure that a node doesn't know counts for nothing; one that no node knows is unknown.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from loadline_api.quantities import MOST_COUNTED
from loadline_api.reasons import Reason
from loadline_api.visible_texts import told as visible

T = TypeVar("T")

MOST_OF_REASON = 64
"""Bytes of a reason, as its field in the status allows characters."""


def known(nodes: Iterable[T], figure: Callable[[T], int | None]) -> tuple[int, ...]:
    """A figure of the nodes that know it."""
    return tuple(value for one in nodes if (value := figure(one)) is not None)


def total(nodes: Iterable[T], figure: Callable[[T], int | None]) -> int | None:
    """The sum of a figure over the nodes that know it; None if none does."""
    values = known(nodes, figure)
    return added(values) if values else None


def added(figures: Iterable[int]) -> int:
    """A sum that a status can hold."""
    return min(MOST_COUNTED, sum(figures))


def gravest(words: Iterable[str | None], gravest_first: Sequence[Reason]) -> str | None:
    """The reason that a person should know first; a word that this version doesn't know stays as it came.

    Such a word may be anything, but is no known failure.
    """
    order = {reason.value: place for place, reason in enumerate(gravest_first)}
    unknown = order[Reason.READINGS_UNKNOWN.value] - 0.5
    seen = {visible(word, most_bytes=MOST_OF_REASON) for word in words if word}
    return min(sorted(seen), key=lambda word: order.get(word, unknown), default=None)
