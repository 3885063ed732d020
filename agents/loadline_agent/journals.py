"""
The journal's entries in two files of a fixed size that take turns, where somebody asked for them.

What memory keeps is lost with the process; a file is there after it. A disk may refuse or stand still, and a
coordinator must not wait for it: a thread writes, so few lines may wait for it that a full disk costs no
memory either, and a line that didn't get into the file is counted. It never costs a decision.
"""

import os
import queue
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Final

MIB: Final = 1024 * 1024

MOST_WAITING: Final = 1024
"""Lines that may wait for the disk. Chosen: some minutes of a coordinator that writes its observations."""

MOST_TORN_BYTES: Final = MIB
"""Bytes of a file's end in which a line's end is looked for: more than the longest entry has."""

CLOSE_WITHIN_S: Final = 2.0
"""How long an agent's end waits for the disk. Chosen: its limits have stepped down by then."""


class JournalFile:
    """Where entries are appended; the file before it has `.1` at the end of its name.

    Both together have at most `most_bytes`. `lost` is called for each line that the file didn't get, in
    either thread.
    """

    def __init__(self, file: Path, *, most_bytes: int, lost: Callable[[], None] = lambda: None) -> None:
        self.lost = lost
        self._file, self._half_bytes = file, most_bytes // 2
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._thread = Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def keep(self, line: str) -> None:
        """Have the line of one entry appended."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.lost()

    def close(self) -> None:
        """Write what waits, unless the disk stands still."""
        try:
            self._lines.put(None, timeout=CLOSE_WITHIN_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_WITHIN_S)

    def _write_all(self) -> None:
        torn = True  # a predecessor may have been killed in the middle of a line
        while (line := self._lines.get()) is not None:
            try:
                if torn:
                    _cut_torn_line(self._file)
                torn = True
                self._write(line)
                torn = False
            except OSError:
                self.lost()

    def _write(self, line: str) -> None:
        file = self._file
        if file.exists() and file.stat().st_size + len(line) >= self._half_bytes:
            file.replace(file.with_name(f"{file.name}.1"))
        with file.open("a", encoding="utf-8") as out:
            out.write(f"{line}\n")


def _cut_torn_line(file: Path) -> None:
    """Cut off what comes after the last whole line: half a line is no entry, and would spoil the next one."""
    if not file.is_file():
        return
    with file.open("r+b") as out:
        start = max(0, out.seek(0, os.SEEK_END) - MOST_TORN_BYTES)
        out.seek(start)
        out.truncate(start + out.read().rfind(b"\n") + 1)
