"""
The six loops by the names that labels, documents, statuses and metrics share.

Each loop looks after one kind of stranded capacity. KV memory has two, because a service chooses apart which
requests may start and what they may hold while they run. Power is a loop over rows, so its documents are the
cluster's; the others are loops over services, and a service's namespace may have documents of its own.
"""

from enum import StrEnum


class Loop(StrEnum):
    """A loop, as the label `loadline.dev/policy` and a document's `loop` write it."""

    POWER = "power"
    EXPERTS = "experts"
    KV = "kv"
    """Which requests start, and which are preempted."""

    KV_RETENTION = "kv-retention"
    """How much of a running request's KV memory is kept."""

    PHASES = "phases"
    SIZING = "sizing"


OF_SERVICES = tuple(loop for loop in Loop if loop is not Loop.POWER)
"""Loops whose policy each service may choose."""

OF_WORKERS = (Loop.EXPERTS, Loop.KV, Loop.KV_RETENTION)
"""Loops that act inside an engine, and get their settings by the channel of its plugin."""
