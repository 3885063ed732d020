"""
Files that people give, plain or packed, and what is said where one of them can't be read.

A name's ending says how a file is packed. Half a file, one that is packed otherwise, or bytes that are no
text are the user's to mend, so they are refused by the file's name and no traceback is shown.
"""

import csv
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TextIO

from loadline_policies.errors import InvalidTrace

PACKED: Final[Mapping[str, Callable[..., IO[Any]]]] = {".gz": gzip.open, ".xz": lzma.open}
UNREADABLE: Final = (
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    UnicodeDecodeError,
    csv.Error,
)


def opened(path: Path) -> TextIO:
    """A file's text, in UTF-8, with its line ends as they are; OSError."""
    file: TextIO = PACKED.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="")
    return file


@contextmanager
def refused(path: Path, *, fix: str) -> Iterator[None]:
    """Raise InvalidTrace with that fix for whatever can't be read of a file in this block."""
    try:
        yield
    except UNREADABLE as error:
        raise InvalidTrace(f"{path.name}: what can't be read of it", str(error), fix=fix) from error
