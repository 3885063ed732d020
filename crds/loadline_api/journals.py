"""
What operator and agent journals share: a bounded list of entries, one JSON line each.

A journal answers «why?» after the fact, so it must neither grow without end nor lose its
newest entries. What an entry says is its writer's; here it is only kept and given out.
"""

from collections import deque


class JournalLines:
    """The newest `most` entries, oldest first."""

    def __init__(self, most: int) -> None:
        self._lines: deque[str] = deque(maxlen=most)

    def add(self, line: str) -> None:
        """Append one entry; the oldest one goes where there is no more room."""
        self._lines.append(line)

    def text(self, last: int | None = None) -> str:
        """The entries as JSON lines; only the `last` ones if given, none for zero or less."""
        lines = list(self._lines)
        kept = lines if last is None else lines[max(0, len(lines) - max(0, last)) :]
        return "".join(f"{line}\n" for line in kept)
