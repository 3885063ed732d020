"""
A journal's files, read line by line.

They may be far larger than memory, packed, and cut: an agent that was killed leaves half a line at the end of
its file, which is normal and is said. Any other line that can't be used is refused with its number, or
left out and counted.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from loadline_api import power_journals
from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.journals import entries
from loadline_sim.journals.entries import DocumentEntry, Entry
from loadline_sim.packed_files import PACKED, refused
from loadline_sim.skipped import Skipped

MOST_LINE_BYTES: Final = 4 * 1024 * 1024
"""Of one entry: the claims of some ten thousand services. Chosen."""

TOLD_EVERY_LINES: Final = 500

UNPACKED: Final = "give the whole file, packed as its name says"

Told = Callable[[float], None]


class Place(NamedTuple):
    """Where an entry stands; lines are counted from 1."""

    file: str
    line: int


@dataclass(slots=True)
class Reading:
    """What was met while files were read."""

    lines: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    cut: list[str] = field(default_factory=list)


def read(
    paths: Sequence[Path],
    reading: Reading,
    *,
    skip_bad: bool = False,
    told: Told = lambda share: None,
) -> Iterator[tuple[Place, Entry]]:
    """All entries of files in their order; InvalidTrace for the first bad line unless they are skipped.

    `reading` is filled on the way, `told` receives the share that is read. OSError where there is no file.
    """
    for path in paths:
        number, whole = 0, True
        for number, line, whole in _lines(path, told):
            try:
                entry = _entry(line)
            except InvalidInput as error:
                if not whole:
                    reading.cut.append(f"{path.name} line {number}")
                    break
                bad = InvalidTrace(f"{path.name} line {number} {error.field}", error.value, fix=error.fix)
                if not skip_bad:
                    raise bad from error
                reading.skipped.add(bad)
            else:
                yield Place(path.name, number), entry
        reading.lines += number


def documents(paths: Sequence[Path]) -> dict[str, DocumentEntry]:
    """All policy documents in files, by the hash that other entries name them by, but for unusable ones."""
    found: dict[str, DocumentEntry] = {}
    for path in paths:
        for _, line, _ in _lines(path, lambda share: None):
            if power_journals.DOCUMENT.encode() not in line:
                continue
            try:
                entry = _entry(line)
            except InvalidInput:
                continue  # refused or counted by `read`
            if isinstance(entry, DocumentEntry):
                found.setdefault(entry.hash_then, entry)
    return found


def _entry(line: bytes) -> Entry:
    if len(line) > MOST_LINE_BYTES:
        raise InvalidInput("entry", line[:100], fix=f"it is longer than {MOST_LINE_BYTES} bytes")
    return entries.parsed(line)


def _lines(path: Path, told: Told) -> Iterator[tuple[int, bytes, bool]]:
    """Number and bytes of each line that isn't empty, and whether it ends as a line does."""
    size = max(1, path.stat().st_size)
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        packed = PACKED.get(path.suffix)
        file: IO[Any] = raw if packed is None else stack.enter_context(packed(raw, "rb"))
        stack.enter_context(refused(path, fix=UNPACKED))
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            whole = line.endswith(b"\n")
            if not whole:
                whole = _rest_is_read(file, len(line))
            if line.strip():
                yield number, line, whole
            if number % TOLD_EVERY_LINES == 0:
                told(min(1.0, raw.tell() / size))
    told(1.0)


def _rest_is_read(file: IO[Any], length: int) -> bool:
    """Read on to the end of a line that is too long; whether it has one."""
    while length > MOST_LINE_BYTES:
        more = file.readline(MOST_LINE_BYTES + 1)
        if more.endswith(b"\n"):
            return True
        length = len(more)
    return False
