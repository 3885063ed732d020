"""Virtual time: things that will happen, in their order. Ties keep the order in which they were planned."""

import heapq
import itertools
from collections.abc import Callable

Happening = Callable[[], None]


class World:
    """A clock and a queue. `now` is in seconds and moves only in `run_until`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._queue: list[tuple[float, int, Happening]] = []
        self._order = itertools.count()

    def at(self, when_s: float, happening: Happening) -> None:
        """Plan something for a time; the past means now."""
        heapq.heappush(self._queue, (max(when_s, self.now), next(self._order), happening))

    def after(self, delay_s: float, happening: Happening) -> None:
        """Plan something for some seconds from now."""
        self.at(self.now + delay_s, happening)

    def every(self, period_s: float, happening: Happening, *, first_s: float = 0.0) -> None:
        """Plan something again and again, the first time after `first_s`."""

        def again() -> None:
            happening()
            self.after(period_s, again)

        self.after(first_s, again)

    def run_until(self, end_s: float) -> None:
        """Let happen all that is due until then."""
        while self._queue and self._queue[0][0] <= end_s:
            self.now, _, happening = heapq.heappop(self._queue)
            happening()
        self.now = end_s
