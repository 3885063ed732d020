"""
What a drill is: an order to hold a row at its safe limits for some seconds, and what was seen of it.

The order comes from a person by way of the API server, so nothing of it is believed: its text
has a time and a length, and what can't be read carries the reason in `problem`. It names a
moment of a wall clock; whoever reads it adds how old it was then, since the coordinator's own
clock knows no time of day.

What was seen is evidence only. A GPU that hasn't been read back is counted nowhere, so that
"seen at safe" is never said of one that wasn't.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SHORTEST_S: Final = 5.0
"""Less would end before the watts of a whole row have shown on its sensors. Chosen."""

LONGEST_S: Final = 30.0
"""What a row may be asked to bear for a test. Chosen."""


class DrillOutcome(StrEnum):
    """What has become of an order."""

    HOLDING = "Holding"
    DONE = "Done"
    STOPPED = "Stopped"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOrder:
    """An order as it was read.

    `text` is what was written, cut to a readable length. `requested_s` is its time in seconds
    of the wall clock, `age_s` how old it was when it was read, below 0 if it lay ahead,
    `read_s` when that was on the coordinator's clock. `problem` says why it can't be used; then
    the numbers mean nothing.
    """

    text: str
    requested_s: float = 0.0
    seconds: float = 0.0
    age_s: float = 0.0
    read_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrilledNode:
    """What was read back of one node during a hold.

    `gpus_at_safe` are those that were seen at or below their safe limits under the hold's own
    orders and never above after that. `after_s` is when the last of them was first seen so, None
    unless all were. `over_watts` is by how much the worst GPU was above when last read, 0 for
    none, None where one wasn't read at all.
    """

    node: str
    gpus: int
    gpus_at_safe: int
    after_s: float | None
    over_watts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillState:
    """An order and what came of it.

    `message` is why it was refused or stopped. `begun_age_s` is the order's age when the hold began,
    None if it never did. Of the row's watts, GPUs × sensor gain and silent nodes at their worst:
    `watts_before` when the hold began, `highest_watts` from when limits and sensors had their time
    to its end, None where nothing was measured. `safe_watts` and `budget_watts` are what was promised.
    """

    order: DrillOrder
    outcome: DrillOutcome
    message: str = ""
    begun_age_s: float | None = None
    nodes: tuple[DrilledNode, ...] = ()
    watts_before: float | None = None
    highest_watts: float | None = None
    safe_watts: float | None = None
    budget_watts: float | None = None
