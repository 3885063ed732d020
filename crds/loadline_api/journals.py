"""
The journal of the operator and of every agent: what was seen, what was decided, and why.

A journal answers «why is this GPU at 247 W?» after the fact, and lets a policy be run again over what
it saw. So an entry carries observation and decision in full, as the pure functions took and gave
them. All processes write the same form of entry, one JSON object a line, and serve it as `/v1/journal`.

It is a ring in memory: it neither grows without end nor loses its newest entries, and it is empty
after a restart. It holds no prompt, no token and no key. Times are of the wall clock, since people read
them beside logs.
"""

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from loadline_policies.errors import InvalidInput

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

MOST_ENTRIES: Final = 4096
"""Entries kept in memory. Chosen: a day of a busy operator, an hour of a busy coordinator, some 2 MiB."""

MOST_DIGITS: Final = 9
"""Digits of a count that a reader may ask for: Python refuses to read some thousands, and raises."""


class Component(StrEnum):
    """Whose journal an entry is of."""

    AGENT = "agent"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One decision.

    `time` is RFC 3339 in UTC with milliseconds. `node` is the node of the agent, empty for the operator.
    `decider` is the controller, the policy or the part of the agent that decided (`services`,
    `power/polca`, `leaf/lease`), `kind` and `name` are of the object that it is about, as
    `namespace/name` where it has a namespace.
    """

    time: str
    component: Component
    node: str
    decider: str
    kind: str
    name: str
    observation: Plain
    decision: Plain
    reason: str

    def to_line(self) -> str:
        """The entry as JSON, on one line, in the order of its fields."""
        entry = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(entry, separators=(",", ":"), allow_nan=False)


def plain(value: object) -> Plain:
    """A frozen value as JSON knows it: dataclasses as objects, infinities and NaN as words, sets sorted."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return [plain(one) for one in sorted(value)]
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value)


class Journal:
    """The newest entries of one process, oldest first.

    `wall` gives seconds since 1970. `written` is called with each entry and its line, for logs and files.
    """

    def __init__(
        self,
        component: Component,
        *,
        wall: Callable[[], float],
        node: str = "",
        written: Callable[[JournalEntry, str], None] = lambda entry, line: None,
        most: int = MOST_ENTRIES,
    ) -> None:
        self._component, self._node, self._wall, self._written = component, node, wall, written
        self._lines: deque[str] = deque(maxlen=most)

    def write(
        self,
        decider: str,
        *,
        kind: str,
        name: str,
        observation: object,
        decision: object,
        reason: str,
        in_memory: bool = True,
    ) -> None:
        """Append one decision; what was seen and decided is made `plain`.

        One that is too frequent for memory goes to `written` only.
        """
        now = datetime.fromtimestamp(self._wall(), UTC)
        entry = JournalEntry(
            time=now.isoformat(timespec="milliseconds"),
            component=self._component,
            node=self._node,
            decider=decider,
            kind=kind,
            name=name,
            observation=plain(observation),
            decision=plain(decision),
            reason=reason,
        )
        line = entry.to_line()
        if in_memory:
            self._lines.append(line)
        self._written(entry, line)

    def asked_for(self, last: str) -> str:
        """The entries that `/v1/journal?last=` asks for, all if empty; InvalidInput if it is no number."""
        if last and not (last.isdecimal() and len(last) <= MOST_DIGITS):
            raise InvalidInput("last", last, fix="give a whole number of entries")
        return self.text(int(last) if last else None)

    def text(self, last: int | None = None) -> str:
        """The entries as JSON lines; only the `last` ones if given, none for zero or less."""
        lines = list(self._lines)
        kept = lines if last is None else lines[max(0, len(lines) - max(0, last)) :]
        return "".join(f"{line}\n" for line in kept)
