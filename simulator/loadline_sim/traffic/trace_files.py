"""
A trace from a file: CSV, JSON lines or Parquet, compressed or not, with the columns of any known publisher.

Whatever can't be replayed is refused with the number of its row: a hole, a length below zero, a time that is
no time or lies before the one above it. Guessing a value for it would put the guess into every figure after.
Whoever prefers fewer rows to none asks for bad ones to be skipped, and is told how many and which.

A file is read in pieces and kept as columns: 27 million requests need some 0.7 GiB, however long their rows.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Floats, Ints
from loadline_sim.skipped import Skipped
from loadline_sim.traffic import pieces, prefixes, values
from loadline_sim.traffic.layouts import Layout
from loadline_sim.traffic.pieces import Piece
from loadline_sim.traffic.prefixes import Prefixes
from loadline_sim.traffic.traces import Trace

UNSORTED: Final = "sort the trace by its times"


@dataclass(frozen=True, slots=True)
class TraceFile:
    """What a file held: its requests, with times as the file has them, and what was left out."""

    layout: Layout
    trace: Trace
    skipped: Skipped


def read(
    path: Path,
    *,
    layout: Layout | None = None,
    skip_bad: bool = False,
    told: Callable[[float], None] = lambda share: None,
) -> TraceFile:
    """The requests of a file; `told` receives the share of it that is read.

    The layout is found by the names of the columns unless one is given. Raises InvalidTrace for the first bad
    row unless they are skipped, and where no request is left; OSError where there is no file.
    """
    reading = _Reading(path.name, skip_bad=skip_bad)
    for piece in pieces.pieces(path, layout, told):
        reading.add(piece)
    return reading.end()


class _Reading:
    """Collects the columns of pieces, and the numbers of rows for the sake of what is said of them."""

    def __init__(self, name: str, *, skip_bad: bool) -> None:
        self._name, self._skip_bad = name, skip_bad
        self._skipped = Skipped()
        self._layout: Layout | None = None
        self._arrival_s: list[Floats] = []
        self._prompt: list[NDArray[np.int32]] = []
        self._output: list[NDArray[np.int32]] = []
        self._numbers: list[tuple[int, int, Ints | None]] = []
        self._ids: list[Ints] = []
        self._counts: list[Ints] = []
        self._priorities: list[Ints | None] = []

    def add(self, piece: Piece) -> None:
        """Take the good rows of a piece, and note or refuse the others."""
        self._layout = piece.layout
        times, prompts, outputs = piece.needed
        arrival_s, no_times = values.seconds(times, piece.layout.unit_s)
        prompt, no_prompts = values.tokens(prompts)
        output, no_outputs = values.tokens(outputs)
        blocks, no_blocks = values.block_ids(piece.blocks or ())
        priority, no_priorities = values.priorities([] if piece.priority is None else piece.priority)
        bad = self._errors(piece, (no_times, no_prompts, no_outputs, no_blocks, no_priorities))
        self._refuse(bad)
        good = np.isin(piece.numbers, list(bad), invert=True)
        self._arrival_s.append(arrival_s[good])
        self._prompt.append(prompt[good].astype(np.int32))
        self._output.append(output[good].astype(np.int32))
        kept = [ids for ids, is_good in zip(blocks, good, strict=False) if is_good]
        self._ids.append(np.fromiter(itertools.chain.from_iterable(kept), np.int64))
        self._counts.append(np.fromiter(map(len, kept), np.int64, len(kept)))
        self._priorities.append(None if piece.priority is None else priority[good])
        self._note_numbers(piece.numbers[good])

    def _errors(self, piece: Piece, faults: Sequence[values.Faults]) -> dict[int, InvalidTrace]:
        """What is wrong with rows of a piece, by their numbers: of each row the first thing."""
        bad = {number: self._error(number, "", fault) for number, fault in piece.broken.items()}
        layout = piece.layout
        for column, found in zip((*layout.needed, layout.blocks, layout.priority), faults, strict=True):
            for place, fault in found.items():
                number = int(piece.numbers[place])
                bad.setdefault(number, self._error(number, column, fault))
        return bad

    def end(self) -> TraceFile:
        """The whole trace, in order of time."""
        arrival_s = _joined(self._arrival_s, np.float64)
        if self._layout is None or not arrival_s.size:
            raise InvalidTrace(self._name, 0, fix="give a trace with at least one request")
        trace = Trace(
            arrival_s,
            _joined(self._prompt, np.int64),
            _joined(self._output, np.int64),
            self._prefixes(),
            self._priority(),
        )
        return TraceFile(self._layout, self._sorted(trace), self._skipped)

    def _prefixes(self) -> Prefixes | None:
        ids, counts = np.concatenate(self._ids), np.concatenate(self._counts)
        if self._layout is None or not ids.size:
            return None
        return prefixes.of_ids(ids, counts, block_tokens=self._layout.block_tokens)

    def _priority(self) -> Ints | None:
        found = [one for one in self._priorities if one is not None]
        if not found:
            return None
        if len(found) < len(self._priorities):
            raise InvalidTrace(f"{self._name} priority", None, fix="give each request one, or none of them")
        return np.concatenate(found)

    def _sorted(self, trace: Trace) -> Trace:
        """The trace without the rows whose times lie out of order."""
        odd = out_of_order(trace.arrival_s)
        if not odd.size:
            return trace
        column = "" if self._layout is None else self._layout.arrival
        for place, number in zip(odd, self._numbers_of(odd), strict=True):
            fault = values.Fault(float(trace.arrival_s[place]), UNSORTED)
            self._refuse({number: self._error(number, column, fault)})
        kept = np.ones(len(trace), bool)
        kept[odd] = False
        return trace.select(kept)

    def _refuse(self, bad: dict[int, InvalidTrace]) -> None:
        for number in sorted(bad):
            if not self._skip_bad:
                raise bad[number]
            self._skipped.add(bad[number])

    def _error(self, number: int, column: str, fault: values.Fault) -> InvalidTrace:
        return InvalidTrace(f"{self._name} row {number} {column}".rstrip(), fault.value, fix=fault.fix)

    def _note_numbers(self, numbers: Ints) -> None:
        """Rows that follow each other need only the first number."""
        if numbers.size:
            first = int(numbers[0])
            in_order = int(numbers[-1]) - first + 1 == numbers.size
            self._numbers.append((numbers.size, first, None if in_order else numbers))

    def _numbers_of(self, places: Ints) -> Iterator[int]:
        """The numbers of kept rows, by their places in order."""
        starts = np.cumsum([0, *(size for size, _, _ in self._numbers)])
        for place in places:
            part = int(np.searchsorted(starts, place, side="right")) - 1
            _, first, numbers = self._numbers[part]
            inside = int(place - starts[part])
            yield first + inside if numbers is None else int(numbers[inside])


def out_of_order(times_s: Floats) -> Ints:
    """The places of the fewest times that one cause explains: those behind a later one, or those before an
    earlier one. Without them the others are in order.

    A single time that is far too late thus counts as one, and not as all that follow it.
    """
    if (times_s[1:] >= times_s[:-1]).all():
        return np.zeros(0, np.int64)
    late = np.flatnonzero(times_s < np.maximum.accumulate(times_s))
    early = np.flatnonzero(times_s > np.minimum.accumulate(times_s[::-1])[::-1])
    return late if late.size <= early.size else early


def _joined(parts: list[Any], kind: type[Any]) -> Any:
    """One array of the parts, which are let go."""
    whole = np.concatenate([np.zeros(0, kind), *parts])
    parts.clear()
    return whole
