"""
Long searches in pieces: what is done of this very code is kept, so that a run goes on where another ended.

A piece is a name and what came of it, one line of JSON in a file that is named by the hash of the code
under search. Other code, another file: nothing is ever counted that an older version earned.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

Piece = dict[str, Any]
Said = Callable[[str, int, int], None]
"""Told after each piece: its name, how many are done, and of how many."""


def code_hash(root: Path, folders: Iterable[str]) -> str:
    """The hash of all Python below some folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def done(file: Path) -> dict[str, Piece]:
    """What is done by name; a line that was cut off is none."""
    found: dict[str, Piece] = {}
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            piece = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[piece["name"]] = piece["result"]
    return found


def finished(
    pieces: Mapping[str, tuple[Callable[..., Piece], tuple[Any, ...]]],
    file: Path,
    *,
    jobs: int,
    said: Said,
    most_s: float | None = None,
) -> dict[str, Piece]:
    """Do what isn't done yet of `pieces` (a function and its arguments by name), side by side.

    After `most_s` seconds no further one is begun.
    """
    found = {name: result for name, result in done(file).items() if name in pieces}
    left = [name for name in pieces if name not in found]
    end_s = float("inf") if most_s is None else time.monotonic() + most_s
    file.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool, file.open("a", encoding="utf-8") as out:
        running = {pool.submit(pieces[name][0], *pieces[name][1]): name for name in left}
        for future in _ended(running, pool, end_s=end_s):
            name = running[future]
            found[name] = future.result()
            out.write(json.dumps({"name": name, "result": found[name]}) + "\n")
            out.flush()
            said(name, len(found), len(pieces))
    return found


def _ended(running: Iterable[Future[Piece]], pool: Executor, *, end_s: float) -> Iterator[Future[Piece]]:
    """Futures as they end; once the time is over, those alone that were begun."""
    told: set[Future[Piece]] = set()
    for future in as_completed(running):
        told.add(future)
        yield future
        if time.monotonic() > end_s:
            pool.shutdown(wait=True, cancel_futures=True)
            yield from (one for one in running if one not in told and not one.cancelled())
            return
