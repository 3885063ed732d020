"""
How long it takes until every member has been told of a new level.

A coordinator that lowers limits answers at once whoever waits, and all others as they report. The larger
the row, the later the last of them hears, and no member can tell: so it is measured where the answers are
written. A level that is over before all were told of it is forgotten.
"""

from collections.abc import Callable
from typing import Final

Told = Callable[[str, int, float], None]
"""Gets a level, how many members were told of it, and the seconds from the first answer until the last."""

NOBODY: Final = 0


class FanOuts:
    """Follows the newest level. `members` is how many there are who report."""

    def __init__(self, *, clock: Callable[[], float], members: Callable[[], int], told: Told) -> None:
        self._clock, self._members, self._told = clock, members, told
        self._level = ""
        self._began_s = 0.0
        self._unwritten: set[str] = set()
        self._written: set[str] = set()
        self._over = True

    def answered(self, node: str, level: str) -> None:
        """An answer is made that tells a node of a level."""
        if level != self._level:
            self._level, self._began_s, self._over = level, self._clock(), False
            self._unwritten, self._written = set(), set()
        self._unwritten.add(node)

    def written(self, node: str) -> None:
        """An answer to a node is on its way, or nobody waits for it any more."""
        if self._over or node not in self._unwritten:
            return
        self._written.add(node)
        if NOBODY < self._members() <= len(self._written):
            self._over = True
            self._told(self._level, len(self._written), self._clock() - self._began_s)
