"""
One report of a node under way, from sending it until the next may follow.

It ends with what became of it: without a lease after a pause, with one when the limits that
it brought are in force, or aren't though they have had the time.
"""

from dataclasses import dataclass
from typing import Final

from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.node_states import NodeState

SETTLE_S: Final = 0.15
"""Between writing a limit and reading it back, up to `SETTLE_TRIES` times. Chosen: a cap's delay and half."""
SETTLE_TRIES: Final = 3

NEVER: Final = float("inf")


@dataclass(slots=True)
class Exchange:
    """A report, and when it was sent. `waits` until its answer or its failure has come."""

    report: Report
    sent_s: float
    waits: bool = True
    _over_s: float = NEVER
    _look_s: float = NEVER
    _looks: int = 0
    _written_s: float = NEVER

    def end(self, over_s: float = -NEVER) -> None:
        """Nothing more comes of it; the next may follow at `over_s`."""
        self.waits, self._over_s = False, over_s

    def settle(self, now: float) -> None:
        """What it brought was written just now: look until that is in force, but not for ever."""
        self._written_s = now
        self._looks, self._look_s = SETTLE_TRIES, now + SETTLE_S
        self._over_s = now + (SETTLE_TRIES + 1) * SETTLE_S

    def look(self, now: float) -> bool:
        """Whether the limits should be read back now; asking makes it so later the next time."""
        if now < self._look_s:
            return False
        self._looks -= 1
        self._look_s = self._look_s + SETTLE_S if self._looks else NEVER
        return True

    def over(self, state: NodeState, now: float) -> bool:
        """Whether the next report may follow."""
        return now >= self._over_s or (state.settled and state.read_s > self._written_s)

    @property
    def wake_s(self) -> float:
        """When there is something to do for it by time alone."""
        return min(self._look_s, self._over_s)
