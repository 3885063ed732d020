"""
What the operator saw, decided and why: the last few thousand entries, one JSON line each.

Bounded by lines, kept in memory, served as `/v1/journal`. An entry is written when a
reconcile decides something, not each time it finds nothing to do; so at rest the
journal stands still. Times are of the wall clock, since people read them beside logs.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from loadline_api.journals import JournalLines

MOST_ENTRIES = 4096
"""Chosen: a day of a busy cluster, some 2 MiB."""


class Journal:
    """The bounded journal; `clock` gives the time of an entry, aware of its zone."""

    def __init__(self, clock: Callable[[], datetime], *, most_entries: int = MOST_ENTRIES) -> None:
        self._clock = clock
        self._lines = JournalLines(most_entries)

    def write(self, kind: str, name: str, *, saw: Mapping[str, object], did: list[str], reason: str) -> None:
        """Add an entry: what was observed of `name`, what was done about it, and why."""
        entry = {
            "time": self._clock().isoformat(),
            "component": "operator",
            "kind": kind,
            "name": name,
            "observation": dict(saw),
            "decision": did,
            "reason": reason,
        }
        self._lines.add(json.dumps(entry, default=str))

    def text(self, last: int | None = None) -> str:
        """The entries, oldest first, one a line; only the `last` ones if given."""
        return self._lines.text(last)
