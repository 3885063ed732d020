"""
When a figure has moved so far that a status is written again.

Figures of engines move with every request. A person acts otherwise only when one has moved far, so a status
keeps what stands in it until then; else each report of each node would be a write.
"""

from typing import Final

MATERIAL_PERCENT: Final = 10
"""Percentage points by which a share has to move to be written again. Chosen."""

MATERIAL_FRACTION: Final = 4
"""A counter is written again when it has moved by one such part of itself. Chosen: so a counter that only
grows is written a few dozen times in an engine's life."""


def share_moved(now: int | None, before: int | None) -> bool:
    """Whether a share, in percent, has moved far, or became known or unknown."""
    if now is None or before is None:
        return now is not before
    return abs(now - before) >= MATERIAL_PERCENT


def counter_moved(now: int | None, before: int | None) -> bool:
    """Whether a counter has moved far, or became known or unknown."""
    if now is None or before is None:
        return now is not before
    return now != before and abs(now - before) * MATERIAL_FRACTION >= before
