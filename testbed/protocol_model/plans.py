"""
Safe limits from a budget: the same share of every settable range, what can't be limited set apart.

Pure arithmetic on watts. Gain and hosts are left out, as in the rule's own example: they scale
and shift every sum alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What one member can be limited to."""

    lowest_watts: int
    highest_watts: int


def shared_limits(ranges: Sequence[Range], watts: float) -> tuple[int, ...]:
    """Limits at the same share of each range, `watts` in all; the lowest ones where that doesn't fit."""
    floor = sum(each.lowest_watts for each in ranges)
    span = sum(each.highest_watts - each.lowest_watts for each in ranges)
    share = 1.0 if span == 0 else max(0.0, min(1.0, (watts - floor) / span))
    return tuple(
        int(each.lowest_watts + share * (each.highest_watts - each.lowest_watts) + 1e-9) for each in ranges
    )
