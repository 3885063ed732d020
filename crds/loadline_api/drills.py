"""
A drill as the API carries it: the annotation that orders one, and what the status says of it.

An order is an event and no state, so it is an annotation and no field of the spec, as with
`kubectl rollout restart`: it moves no generation, and a manifest that is applied again orders
nothing. Its text is a time and a length, `2026-01-02T03:04:05Z/10`; the time makes it one of a
kind and lets it grow old. Whoever may edit a PowerDomain may write it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from pydantic import Field

from loadline_api.conditions import timestamp
from loadline_api.names import DRILL_ANNOTATION
from loadline_api.quantities import Count, ReportedWatts
from loadline_api.schemas import Status
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.drill_states import LONGEST_S, SHORTEST_S

LISTED_NODES: Final = 64
"""Nodes that the status names, the worst first; of the others it has the number."""

SHOWN: Final = 64
"""Characters of an order that are worth repeating."""

FORM: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)/([0-9]{1,3})")

MEND: Final = "write a time in UTC and a number of seconds, such as 2026-01-02T03:04:05Z/10"


@dataclass(frozen=True, slots=True)
class DrillText:
    """What the annotation says: when the drill was asked for, and for how many seconds."""

    requested: datetime
    seconds: int

    def __str__(self) -> str:
        return f"{timestamp(self.requested)}/{self.seconds}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The order in an annotation; InvalidInput names what of it can't be used."""
        found = FORM.fullmatch(text[: SHOWN + 1])
        if found is None:
            raise InvalidInput(DRILL_ANNOTATION, text[:SHOWN], fix=MEND)
        try:
            requested = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidInput(DRILL_ANNOTATION, text, fix=MEND) from error
        seconds = int(found[2])
        if not SHORTEST_S <= seconds <= LONGEST_S:
            fix = f"use {SHORTEST_S:.0f} to {LONGEST_S:.0f} seconds"
            raise InvalidInput(DRILL_ANNOTATION, text, fix=fix)
        return cls(requested, seconds)


class DrilledNodeStatus(Status):
    """What was read back of one node."""

    node: str = Field(min_length=1, max_length=253, description="Name of the node.")
    gpus: Count = Field(description="GPUs of the node that the domain knows.")
    gpus_at_safe: Count = Field(
        description="GPUs read back at or below their safe limits under the drill's orders, and never above"
        " after that."
    )
    after_milliseconds: Count | None = Field(
        default=None,
        description="Time from the beginning of the hold until the last GPU of the node was read back so;"
        " absent unless all were.",
    )
    over_watts: Count | None = Field(
        default=None,
        description="Watts by which the worst GPU was above its safe limit when last read; absent if one was"
        " not read.",
    )


class DrillStatus(Status):
    """The last order for a drill, and what came of it. Only what was read back is said."""

    order: str = Field(max_length=SHOWN, description="The order, as written in the annotation.")
    outcome: str = Field(
        max_length=16,
        description="Holding: in progress; Done: ended by itself; Stopped: ended early; Refused: not begun.",
    )
    message: str = Field(
        default="", max_length=512, description="Why the drill was refused or stopped, and what to do."
    )
    held_time: str | None = Field(
        default=None,
        description="When the hold began; absent if it never did.",
        json_schema_extra={"format": "date-time"},
    )
    nodes: Count | None = Field(default=None, description="Members when the hold began.")
    nodes_at_safe: Count | None = Field(
        default=None, description="Members whose GPUs were all read back at or below their safe limits."
    )
    gpus: Count | None = Field(default=None, description="GPUs of the members.")
    gpus_at_safe: Count | None = Field(
        default=None, description="GPUs read back at or below their safe limits, and never above after that."
    )
    safe_watts: ReportedWatts | None = Field(
        default=None, description="The promise: the sum of all safe limits, with hosts at their maximum."
    )
    budget_watts: ReportedWatts | None = Field(default=None, description="The budget at that time.")
    watts_before: ReportedWatts | None = Field(
        default=None,
        description="Draw of the domain when the hold began: GPU sensors plus 5 percent, silent nodes at the"
        " most that they may draw.",
    )
    highest_watts: ReportedWatts | None = Field(
        default=None,
        description="Highest such draw during the hold, after the time that limits and sensors need to"
        " settle; absent if not measured.",
    )
    listed: tuple[DrilledNodeStatus, ...] = Field(
        default=(),
        max_length=LISTED_NODES,
        description="Nodes of the domain; those not at their safe limits, or there last, come first.",
    )
