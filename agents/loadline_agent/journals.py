"""
What was seen, what was decided, and why: one JSON line for each decision.

A journal answers «why is this GPU at 247 W?» after the fact, and lets a policy be
run again over what it saw. So an entry carries observation and decision in full,
as the pure functions took and gave them. It is bounded: a ring in memory, served
over HTTP, and if asked for two files of a fixed size that take turns. It holds no
prompt, no token and no key, only watts, clocks and names.

A disk that refuses costs the file, never the decision: the failures are counted.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeAlias

from loadline_api.journals import JournalLines

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

Entry: TypeAlias = dict[str, Plain]

MOST_ENTRIES = 2048
"""Lines kept in memory: half an hour of a busy coordinator, some 1 MiB. Chosen."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of one of the two files."""


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
    """A bounded list of decisions; `who` is the node, `wall` gives seconds since 1970.

    `tell` gets every entry as it is written, for the log.
    """

    def __init__(
        self,
        who: str,
        *,
        wall: Callable[[], float],
        file: Path | None = None,
        tell: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self.failures = 0
        self._tell = tell
        self._who, self._wall = who, wall
        self._lines = JournalLines(MOST_ENTRIES)
        self._file = file

    def write(self, what: str, *, observation: Plain, decision: Plain, reason: str, **labels: str) -> None:
        """Append one decision of the loop or policy `what`; `labels` say of which domain, GPU or service."""
        entry: Entry = {
            "t": round(self._wall(), 3),
            "who": self._who,
            "what": what,
            **labels,
            "observation": observation,
            "decision": decision,
            "reason": reason,
        }
        line = json.dumps(entry, separators=(",", ":"), allow_nan=False)
        self._lines.add(line)
        if self._file is not None:
            self._keep(self._file, line)
        self._tell(entry)

    def lines(self, most: int = MOST_ENTRIES) -> str:
        """The last `most` entries, oldest first, as JSON lines."""
        return self._lines.text(most)

    def _keep(self, file: Path, line: str) -> None:
        try:
            if file.exists() and file.stat().st_size + len(line) > MOST_BYTES:
                file.replace(file.with_name(f"{file.name}.1"))
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{line}\n")
        except OSError:
            self.failures += 1
