"""
Whether somebody else writes a GPU's limit, and how much that makes it count for.

A single foreign write is nothing: ours is written again at the next look. Somebody who writes
again and again leaves the GPU above our limit for a part of the time, on every node where the same
program runs, and no plan of ours holds then. So a GPU on which that happens often isn't able: it
counts at the highest that was written, the others are planned around it, and it is kept at its
safe limit between two such writes. A program that sets a limit each minute must not take a row
down, nor go unseen.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS

OFTEN: Final = 6
"""More foreign writes above the safe limit than this within `OFTEN_S` make a GPU unable. Chosen."""

OFTEN_S: Final = 60.0

KEPT_S: Final = 600.0
"""How long the highest foreign value counts after it was last seen. Chosen."""


@dataclass(slots=True)
class ForeignWrites:
    """One GPU's requested limits that weren't ours; all times are of one clock."""

    _known_watts: float | None = None
    _above_s: deque[float] = field(default_factory=lambda: deque(maxlen=OFTEN + 1))
    _highest_watts: float = 0.0
    _often_s: float = float("-inf")

    def know(self, watts: float) -> None:
        """What is requested now is ours, or the guard's."""
        self._known_watts = watts

    def seen(self, watts: float, *, safe_watts: float, now: float) -> bool:
        """Take the requested limit as read back; whether somebody else has written it since."""
        known, self._known_watts = self._known_watts, watts
        if known is None or abs(watts - known) < ROUNDING_WATTS:
            return False
        if watts > safe_watts + ROUNDING_WATTS:
            self._highest_watts = max(watts, self._highest_watts if self._kept(now) else 0.0)
            self._above_s.append(now)
            if len(self._above_s) > OFTEN and now - self._above_s[0] <= OFTEN_S:
                self._often_s = now
        return True

    def often(self, now: float) -> bool:
        """Whether somebody writes so often that the GPU can't be counted on."""
        return now - self._often_s < KEPT_S

    def highest_watts(self, now: float) -> float:
        """What the GPU counts for because of them; 0 where they don't matter."""
        return self._highest_watts if self.often(now) else 0.0

    def _kept(self, now: float) -> bool:
        return bool(self._above_s) and now - self._above_s[-1] < KEPT_S
