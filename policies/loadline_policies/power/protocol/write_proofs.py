"""
Whether a GPU's limit can be lowered, by what became of the writes to it.

A GPU whose setter fails, or whose write can't be read back, holds what it holds: it doesn't
count at its safe limit, whatever its record says. It is believed again once several writes
that changed its limit were read back, over some time, with no failure between them. That
nothing has failed yet is no proof; it is only nothing against it. So a GPU that was never
written is ordered a step less first (`gpu_limits`): a dead setter is known when a node is
armed, not at the first brake.
"""

from dataclasses import dataclass

PROVEN_BY_WRITES = 3
PROVEN_AFTER_S = 30.0
"""How many writes, and over how long, must go right after one that failed. Chosen with the rule in 0002."""

PROBE_EVERY_S = 10.0
"""A GPU that failed is ordered another limit so often, or nothing would be written that could succeed."""


@dataclass(slots=True)
class WriteProof:
    """One GPU's writes since the last that failed; all times are of one clock."""

    proven: bool = False
    """Whether a write that changed the limit was read back, and none has failed since."""

    _failed: bool = False
    _writes: int = 0
    _since_s: float = 0.0

    def failed(self) -> None:
        """A write failed, or wasn't read back in time."""
        self._failed, self._writes, self.proven = True, 0, False

    def succeeded(self, now: float) -> None:
        """A write that changed the limit was read back."""
        if not self._writes:
            self._since_s = now
        self._writes += 1
        if self._writes >= PROVEN_BY_WRITES and now - self._since_s >= PROVEN_AFTER_S:
            self._failed = False
        self.proven = not self._failed

    @property
    def able(self) -> bool:
        """Whether nothing speaks against it that the limit can be lowered."""
        return not self._failed


def probes(now: float) -> bool:
    """Whether a GPU that failed is ordered a step less at this moment."""
    return now // PROBE_EVERY_S % 2 == 1
