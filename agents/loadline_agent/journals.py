"""
The journal's entries in two files of a fixed size that take turns, where somebody asked for them.

What memory keeps is lost with the process; a file is there after it. A disk that refuses costs the file,
never the decision: the failures are counted.
"""

from pathlib import Path

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of one of the two files."""


class JournalFile:
    """Where entries are appended; the file before it has `.1` at the end of its name."""

    def __init__(self, file: Path) -> None:
        self.failures = 0
        self._file = file

    def keep(self, line: str) -> None:
        """Append the line of one entry."""
        file = self._file
        try:
            if file.exists() and file.stat().st_size + len(line) > MOST_BYTES:
                file.replace(file.with_name(f"{file.name}.1"))
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{line}\n")
        except OSError:
            self.failures += 1
