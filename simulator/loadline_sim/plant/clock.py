"""
Keeping a stepped world in step with a real clock.

A pace knows when each tick of fixed length is due after a start. Whoever drives asks
how many are due and how long to wait; a driver that was held up makes the ticks up
rather than skipping them, since a skipped tick would lose watts and requests.

The clock is injected, so a test jumps instead of waiting.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Ticks of `tick_s` seconds from `start_s` on; `made` of them are behind us."""

    start_s: float
    tick_s: float
    made: int = 0

    def due(self, now: float) -> int:
        """How many ticks have ended by `now` and are yet to be made."""
        return max(int((now - self.start_s) / self.tick_s + 1e-9) - self.made, 0)

    def wait_s(self, now: float) -> float:
        """Seconds until the next tick ends; zero if one is due."""
        return max(self.start_s + (self.made + 1) * self.tick_s - now, 0.0)

    def late_s(self, now: float) -> float:
        """How far the ticks made lie behind the clock."""
        return max(now - self.start_s - self.made * self.tick_s, 0.0)
