"""
How often a release tries to give a GPU back what was found on it, before it leaves that GPU behind.

A release waits for nobody: a GPU whose setter fails would else keep its node armed for ever.
Where the tries are counted, the node carries: the real one, and the one in virtual time.
"""

from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

TRIES: Final = 3
"""From the protocol's rule."""

K = TypeVar("K", bound=Hashable)


class ReleaseTries(Generic[K]):
    """How often giving back has failed on each GPU of one release."""

    def __init__(self) -> None:
        self._failed: dict[K, int] = {}

    def count(self, failed: Iterable[K]) -> None:
        """Take what came of one try: the GPUs that are there and haven't got back what was found."""
        self._failed = {key: self._failed.get(key, 0) + 1 for key in failed}

    def forgive(self, key: K) -> None:
        """A write on this GPU was read back: its setter works again."""
        self._failed.pop(key, None)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be tried: every GPU has what was found, or was tried often enough."""
        return all(times >= TRIES for times in self._failed.values())

    @property
    def left(self) -> tuple[K, ...]:
        """GPUs that didn't get back what was found at the last try."""
        return tuple(self._failed)
