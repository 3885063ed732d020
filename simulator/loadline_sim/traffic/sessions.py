"""
Agents at work: recorded sessions of requests, each of which begins as the one before it.

A session is started at a drawn time and replayed as it was recorded, gaps included. A real agent waits for
an answer before it asks again, so on a fleet that is slower than the recorded one it would ask later; what
is here doesn't wait (an open loop). Ids of blocks are local to a session, so what sessions share in truth,
such as a system prompt, is a miss at the beginning of each.

Half of the sessions last an hour, the longest 82 hours. So the requests of sessions that start at a steady
rate grow for days: an hour from the first start has 0.4 of the requests of later ones.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim import packed_files
from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic.prefixes import Prefixes, spans
from loadline_sim.traffic.traces import Trace

BLOCK_TOKENS: Final = 64
MOST: Final = 1e9
LAYOUT: Final = "[session, seconds, prompt tokens, output tokens, [[first block, blocks], ...]]"


@dataclass(frozen=True, slots=True)
class Sessions:
    """Session `i` has the requests `starts[i]` to `starts[i + 1]` of a trace whose times begin with the
    session.

    Ids of blocks are a session's own.
    """

    starts: Ints
    trace: Trace

    def __len__(self) -> int:
        return int(self.starts.size - 1)


def read(path: Path) -> Sessions:
    """Sessions from JSON lines, one request a line, gzipped if the name ends so; InvalidTrace names a bad
    row."""
    with packed_files.refused(path, fix=f"give lines of {LAYOUT}"), packed_files.opened(path) as file:
        return _sessions(_requests(file, path.name), path.name)


def drawn(
    sessions: Sessions, *, per_hour: float, duration_s: float, seed: int, warm_up_s: float | None = None
) -> Trace:
    """The requests of [0, duration) of sessions that start independently, so many an hour, by arrival.

    Each start draws one of the sessions; one that is drawn twice shares no block with itself. Sessions start
    from `warm_up_s` before 0 on; None is as long as the longest of them, so that as many are under way at 0
    as later. Requests before 0 are left out: what they would have put into a cache is a miss once.
    """
    before_s = float(sessions.trace.arrival_s.max()) if warm_up_s is None else warm_up_s
    if not 0.0 < per_hour < MOST or not 0.0 < duration_s < MOST or not 0.0 <= before_s < MOST:
        fix = "give a rate and a duration above 0, and a warm-up of 0 or more"
        raise InvalidInput("sessions", [per_hour, duration_s, before_s], fix=fix)
    dice = np.random.default_rng(seed)
    count = int(dice.poisson(per_hour * (before_s + duration_s) / 3600.0))
    starts_s = np.sort(dice.uniform(-before_s, duration_s, count))
    chosen = dice.integers(0, len(sessions), count)
    requests = np.diff(sessions.starts)[chosen]
    places = spans(sessions.starts[chosen], requests)
    arrival_s: Floats = sessions.trace.arrival_s[places] + np.repeat(starts_s, requests)
    inside = np.flatnonzero((arrival_s >= 0.0) & (arrival_s < duration_s))
    order = inside[np.argsort(arrival_s[inside], kind="stable")]
    picked = places[order]
    start = np.repeat(np.arange(count), requests)[order]
    return Trace(
        arrival_s[order],
        sessions.trace.prompt_tokens[picked],
        sessions.trace.output_tokens[picked],
        _apart(sessions, picked, start=start, chosen=chosen),
    )


def _apart(sessions: Sessions, places: Ints, *, start: Ints, chosen: Ints) -> Prefixes:
    """The blocks of requests, with ids that differ between starts."""
    recorded = sessions.trace.prefixes
    assert recorded is not None
    ends = np.maximum.reduceat(recorded.firsts + recorded.lengths, recorded.starts[sessions.starts[:-1]])
    offsets = np.concatenate([[0], np.cumsum(ends[chosen])])
    found = recorded.select(places)
    runs = np.diff(found.starts)
    return Prefixes(BLOCK_TOKENS, found.starts, found.firsts + np.repeat(offsets[start], runs), found.lengths)


def _requests(lines: Iterable[str], name: str) -> list[tuple[int, float, int, int, list[list[int]]]]:
    found = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not _is_request(row):
            raise InvalidTrace(
                f"{name} row {number}", line.strip(), fix=f"write {LAYOUT}, none of it negative"
            )
        blocks = sum(run[1] for run in row[4])
        if blocks * BLOCK_TOKENS > row[2]:
            fix = f"give no more blocks of {BLOCK_TOKENS} tokens than the prompt has"
            raise InvalidTrace(f"{name} row {number} blocks", blocks, fix=fix)
        found.append((row[0], float(row[1]), row[2], row[3], row[4]))
    return found


def _is_request(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 5 or not isinstance(row[4], list) or not row[4]:
        return False
    numbers = [*row[:4], *(one for run in row[4] for one in (run if isinstance(run, list) else [None]))]
    return (
        all(isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one < MOST for one in numbers)
        and all(isinstance(one, int) for one in (row[0], row[2], row[3]))
        and all(len(run) == 2 and all(isinstance(one, int) for one in run) and run[1] > 0 for run in row[4])
    )


def _sessions(rows: list[tuple[int, float, int, int, list[list[int]]]], name: str) -> Sessions:
    if not rows:
        raise InvalidTrace(name, 0, fix="give at least one request")
    session, seconds, prompt, output, runs = zip(*rows, strict=True)
    order = np.lexsort((np.array(seconds), np.array(session)))
    starts = np.flatnonzero(np.diff(np.array(session)[order], prepend=math.inf) != 0)
    counts = np.array([len(one) for one in runs])
    flat = np.array([pair for one in runs for pair in one], np.int64)
    all_starts = np.concatenate([[0], np.cumsum(counts)])
    prefixes = Prefixes(BLOCK_TOKENS, all_starts, flat[:, 0], flat[:, 1])
    trace = Trace(np.array(seconds), np.array(prompt, np.int64), np.array(output, np.int64), prefixes)
    return Sessions(np.append(starts, len(rows)), trace.select(order))
