"""
How long it takes until every member has been told of a new level.

A coordinator that lowers limits answers at once whoever waits, and all others as they report. The larger
the row, the later the last of them hears, and no member can tell: so it is measured where the answers are
written. A level that is over before all were told of it is forgotten.
"""

from collections.abc import Callable

Told = Callable[[str, int, float], None]
"""Gets a level, how many members were told of it, and the seconds from the first answer until the last."""


class FanOuts:
    """Follows the newest level. `members` is how many there are who report, 0 where nobody leads."""

    def __init__(self, *, clock: Callable[[], float], members: Callable[[], int], told: Told) -> None:
        self._clock, self._members, self._told = clock, members, told
        self._level = ""
        self._began_s = 0.0
        self._written: set[str] | None = None

    def answered(self, level: str) -> None:
        """An answer is made that tells a level."""
        if level != self._level:
            self._level, self._began_s, self._written = level, self._clock(), set()

    def written(self, node: str, level: str) -> None:
        """An answer that tells a node of a level is on its way, or nobody waits for it any more."""
        if self._written is None or level != self._level:
            return
        self._written.add(node)
        told = len(self._written)
        if 0 < self._members() <= told:
            self._written = None
            self._told(level, told, self._clock() - self._began_s)
