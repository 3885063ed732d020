"""
Long searches in pieces: what is done of this very code is kept, so that a run goes on where another ended.

What a piece is and how it is kept is `loadline_sim.resumable`'s; here all that aren't done are done side by
side.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from loadline_sim.resumable import Piece, done, keep

Said = Callable[[str, int, int], None]
"""Told after each piece: its name, how many are done, and of how many."""


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
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(pieces[name][0], *pieces[name][1]): name for name in left}
        for future in _ended(running, pool, end_s=end_s):
            name = running[future]
            found[name] = future.result()
            keep(file, name, found[name])
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
