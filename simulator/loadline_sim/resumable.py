"""
What long work has done so far, kept in a file, so that a run goes on where another ended.

A piece of work is a name and what came of it, one line of JSON. The file is named by the hash of the code
that did it: other code, another file, and nothing is ever counted that an older version earned. A line that
was cut off, or that is something else, is a piece that isn't done.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Piece = dict[str, Any]


def code_hash(root: Path, folders: Iterable[str]) -> str:
    """The hash of all Python below some folders."""
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return files_hash(root, paths)


def files_hash(root: Path, paths: Iterable[Path]) -> str:
    """The hash of some files below a folder, by their names in it and what is in them."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def done(file: Path) -> dict[str, Piece]:
    """What is done by name."""
    found: dict[str, Piece] = {}
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            piece = json.loads(line)
        except ValueError:
            continue
        if isinstance(piece, dict) and isinstance(piece.get("name"), str) and "result" in piece:
            found[piece["name"]] = piece["result"]
    return found


def keep(file: Path, name: str, result: Piece) -> None:
    """Add a piece to those that are done; behind half a line, it begins one of its own."""
    with file.open("ab") as out:
        cut = file.stat().st_size > 0 and not _ends_a_line(file)
        line = json.dumps({"name": name, "result": result}, allow_nan=False)
        out.write(b"\n" * cut + line.encode() + b"\n")


def _ends_a_line(file: Path) -> bool:
    with file.open("rb") as read:
        read.seek(-1, 2)
        return read.read(1) == b"\n"
