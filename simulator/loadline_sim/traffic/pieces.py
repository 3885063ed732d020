"""
The rows of a trace's file, some ten thousand at a time, so that weeks of requests needn't fit as text.

A format ends here: whatever a file is, it becomes pieces of three columns, with the number of each row as an
editor shows it, and with the rows that aren't even rows. Blank lines of a CSV file aren't counted.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from loadline_policies.errors import InvalidTrace
from loadline_sim.arrays import Ints
from loadline_sim.packed_files import PACKED, refused
from loadline_sim.traffic.layouts import Layout, check_columns, layout_of
from loadline_sim.traffic.values import Fault, Values

PIECE_BYTES: Final = 4 << 20
PIECE_ROWS: Final = 50_000
MOST_HEADER: Final = 1 << 20
"""Characters in which a header must end, so that a file without lines isn't read whole for one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows: their numbers, the layout's needed columns and, where there are any, blocks and priorities.

    `broken` are rows that the format can't read, by their numbers; they have no place in the columns.
    """

    layout: Layout
    numbers: Ints
    needed: tuple[Values, Values, Values]
    blocks: list[Any] | None = None
    broken: dict[int, Fault] = field(default_factory=dict)
    priority: Values | None = None


def pieces(path: Path, layout: Layout | None, told: Callable[[float], None]) -> Iterator[Piece]:
    """A file's pieces in order; `told` receives the share of the file that is read.

    Raises InvalidTrace where no piece can be made at all, and OSError.
    """
    size = max(path.stat().st_size, 1)
    kind = _kind_of(path)
    fix = "give a whole file whose contents are what its name says"
    with refused(path, fix=fix), path.open("rb") as packed:
        file = PACKED[path.suffix](packed) if path.suffix in PACKED else packed
        try:
            for piece in KINDS[kind](file, path.name, layout):
                yield piece
                told(packed.tell() / size)
        except pa.ArrowException as error:
            raise InvalidTrace(path.name, str(error), fix=fix) from error


def _kind_of(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix not in PACKED]
    kind = suffixes[-1] if suffixes else ""
    if kind not in KINDS:
        fix = f"name the file so that it ends in {', '.join(KINDS)}, maybe followed by {' or '.join(PACKED)}"
        raise InvalidTrace("the trace's file", path.name, fix=fix)
    return kind


def _csv(file: IO[bytes], name: str, layout: Layout | None) -> Iterator[Piece]:
    columns = next(csv.reader([file.readline(MOST_HEADER).decode("utf-8-sig", errors="replace")]), [])
    chosen = _chosen(layout, columns, f"{name} row 1")
    counted = Counted()
    read = [*chosen.needed, *({chosen.priority} & set(columns))]
    try:
        rows = pacsv.open_csv(
            pa.PythonFile(Utf8(file), mode="r"),
            read_options=pacsv.ReadOptions(block_size=PIECE_BYTES, use_threads=False, column_names=columns),
            parse_options=pacsv.ParseOptions(invalid_row_handler=counted.skip),
            convert_options=pacsv.ConvertOptions(
                include_columns=read,
                column_types=dict.fromkeys(read, pa.string()),
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        raise
    for batch in rows:
        numbers, broken = counted.next(batch.num_rows)
        arrival, prompt, output, *priority = batch.columns
        found = priority[0] if priority else None
        yield Piece(chosen, numbers, (arrival, prompt, output), broken=broken, priority=found)
    numbers, broken = counted.rest()
    yield Piece(chosen, numbers, ([], [], []), broken=broken, priority=[] if read[3:] else None)


class Utf8(io.RawIOBase):
    """A file in which each byte that is no UTF-8 is a question mark: Arrow can't leave out a row with one."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, none only at the end."""
        while data := self._file.read(size):
            if text := self._decoder.decode(data):
                return text.encode(errors="replace")
        return self._decoder.decode(b"", final=True).encode(errors="replace")


class Counted:
    """Which numbers the rows of a CSV file have, of which Arrow tells only those that it left out.

    It reads ahead, so it leaves out rows behind those that it has returned. The header is row 1.
    """

    def __init__(self) -> None:
        self._broken: dict[int, Fault] = {}
        self._last = 1

    def skip(self, row: pacsv.InvalidRow) -> str:
        """For Arrow: leave out a row with too many or too few values."""
        fix = f"give {row.expected_columns} values, there are {row.actual_columns}"
        self._broken[row.number + 1] = Fault(row.text, fix)
        return "skip"

    def next(self, count: int) -> tuple[Ints, dict[int, Fault]]:
        """The numbers of the next rows, and what was left out before the last of them."""
        left_out = np.array(list(self._broken), np.int64)
        good_before = left_out - self._last - 1 - np.arange(left_out.size)
        places = np.arange(count)
        numbers = self._last + 1 + places + np.searchsorted(good_before, places, side="right")
        self._last = int(numbers[-1]) if count else self._last
        before = {number: fault for number, fault in self._broken.items() if number < self._last}
        self._broken = {number: fault for number, fault in self._broken.items() if number > self._last}
        return numbers, before

    def rest(self) -> tuple[Ints, dict[int, Fault]]:
        """No row, and what was left out behind the last one."""
        return np.zeros(0, np.int64), self._broken


def _jsonl(file: IO[bytes], name: str, layout: Layout | None) -> Iterator[Piece]:
    numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    chosen = layout
    while lines := list(islice(numbered, PIECE_ROWS)):
        rows, broken = _objects(lines)
        if chosen is None:
            first = min(rows, default=0)
            chosen = layout_of(rows.get(first, {}), f"{name} row {first or lines[0][0]}")
        arrival, prompt, output = ([row.get(one) for row in rows.values()] for one in chosen.needed)
        blocks = [row.get(chosen.blocks) for row in rows.values()] if chosen.blocks else None
        ranked = chosen.is_named or (chosen.priority and any(chosen.priority in row for row in rows.values()))
        priority = [row.get(chosen.priority) for row in rows.values()] if ranked else None
        numbers = np.array(list(rows), np.int64)
        yield Piece(chosen, numbers, (arrival, prompt, output), blocks, broken, priority)


def _parquet(file: IO[bytes], name: str, layout: Layout | None) -> Iterator[Piece]:
    table = pq.ParquetFile(pa.PythonFile(file, mode="r"))
    chosen = _chosen(layout, table.schema_arrow.names, f"{name} schema")
    read = [*chosen.needed, *({chosen.blocks, chosen.priority} & set(table.schema_arrow.names))]
    passed = 0
    for batch in table.iter_batches(PIECE_ROWS, columns=read):
        numbers = np.arange(passed + 1, passed + 1 + batch.num_rows)
        passed += batch.num_rows
        blocks = batch[chosen.blocks].to_pylist() if chosen.blocks in read else None
        arrival, prompt, output = (batch[one] for one in chosen.needed)
        priority = batch[chosen.priority] if chosen.priority in read else None
        yield Piece(chosen, numbers, (arrival, prompt, output), blocks, priority=priority)


KINDS: Final = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def _chosen(layout: Layout | None, columns: list[str], where: str) -> Layout:
    if layout is None:
        return layout_of(columns, where)
    check_columns(layout, columns, where)
    return layout


def _objects(lines: list[tuple[int, bytes]]) -> tuple[dict[int, dict[str, Any]], dict[int, Fault]]:
    """What lines hold, by their numbers, and the lines that hold no object."""
    rows: dict[int, dict[str, Any]] = {}
    broken: dict[int, Fault] = {}
    for number, line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            rows[number] = found
        else:
            broken[number] = Fault(line, "write a JSON object in each line")
    return rows, broken
