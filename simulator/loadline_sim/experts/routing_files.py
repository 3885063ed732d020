"""
Reads recorded routing from files, and refuses what can't be replayed with the name of file and row.

Two forms are read. A *table* is a CSV file, plain or compressed (.gz, .xz), with one row for each
token and layer; it is easily written from what an engine returns:

    sequence,token,layer,experts,weights
    chat-1,1,1,8 26 56 57 60 11,0.041 0.047 0.045 0.179 0.086 0.038

`sequence` names the request; `experts` are the ids in that layer, in any order, `weights` the router's
weights for them. A request's tokens, and a token's layers, stand together and in order. A *folder* is
what DeepSeek's ESFT publishes in `results/expert_scores/TASK`: a file `expert_weights_N.txt` for each
layer, in it a line for each request, with the ids of all its tokens and, after two tabs, the weights.

The study's example ships with the simulator; see `data/README.md` for its origin and licence.
"""

import csv
import lzma
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TextIO

import numpy as np

from loadline_policies.errors import InvalidTrace
from loadline_sim import packed_files
from loadline_sim.arrays import Floats, Ints
from loadline_sim.experts.routings import Routing

COLUMNS = ("sequence", "token", "layer", "experts", "weights")
EXAMPLE = "routing-deepseek-v2-lite-law.csv.xz"
EXAMPLE_EXPERTS = 64
ESFT_EXPERTS_PER_TOKEN = 6
"""ESFT's files don't say it; DeepSeek-V2-Lite, which they were recorded from, has 6."""

MOST_EXPERTS = 4096
"""The most experts in a layer that are believed: an id beyond it is a mistake, and would fill the memory."""


"""What is raised for a file that isn't what its name says."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One token in one layer; `where` names its row for an error."""

    where: str
    sequence: str
    token: int
    layer: int
    ids: tuple[int, ...]
    weights: tuple[float, ...]


def example() -> Routing:
    """The routing that ships with the simulator."""
    packed = files("loadline_sim.data").joinpath(EXAMPLE).read_bytes()
    return read_table(StringIO(lzma.decompress(packed).decode()), EXAMPLE, experts=EXAMPLE_EXPERTS)


def read(path: Path, *, experts: int | None = None) -> Routing:
    """Read a table or a folder; `experts` is the number in each layer, by default the highest id + 1."""
    fix = "give a CSV file in UTF-8, plain or packed by gzip or xz, or a folder of ESFT"
    with packed_files.refused(path, fix=fix):
        if path.is_dir():
            return read_folder(path, experts=experts)
        with packed_files.opened(path) as file:
            return read_table(file, path.name, experts=experts)


def read_table(file: TextIO, name: str, *, experts: int | None = None) -> Routing:
    """Read a table; rows are counted as an editor shows them, the header is row 1."""
    reader = csv.DictReader(file)
    if any(column not in (reader.fieldnames or ()) for column in COLUMNS):
        raise InvalidTrace(f"{name} row 1", reader.fieldnames, fix=f"name the columns {', '.join(COLUMNS)}")
    rows = (_row(row, f"{name} row {number}", experts) for number, row in enumerate(reader, start=2))
    return _routing(_tokens(rows), name, experts)


def _row(row: Mapping[str, str | None], where: str, experts: int | None) -> _Row:
    empty = [column for column in COLUMNS if not (row[column] or "").strip()]
    if empty:
        raise InvalidTrace(f"{where} {empty[0]}", row[empty[0]], fix="fill the hole, or take the token out")
    text = {column: row[column] or "" for column in COLUMNS}
    ids = _ids(text["experts"].split(), f"{where} experts", experts)
    return _Row(
        where=where,
        sequence=text["sequence"],
        token=_whole(text["token"], f"{where} token"),
        layer=_whole(text["layer"], f"{where} layer"),
        ids=ids,
        weights=_weights(text["weights"].split(), f"{where} weights", len(ids)),
    )


def _tokens(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """The rows of each token; all tokens have the same layers and as many experts."""
    first: list[_Row] = []
    before: _Row | None = None
    ended: set[str] = set()
    for _, group in groupby(rows, key=lambda row: (row.sequence, row.token)):
        token = list(group)
        first = first or token
        if before is not None and before.sequence != token[0].sequence:
            ended.add(before.sequence)
        _check_order(token[0], before, ended)
        _check_token(token, first)
        yield token
        before = token[0]


def _check_order(row: _Row, before: _Row | None, ended: set[str]) -> None:
    if row.sequence in ended:
        raise InvalidTrace(f"{row.where} sequence", row.sequence, fix="keep a request's tokens together")
    if before is not None and before.sequence == row.sequence and row.token < before.token:
        raise InvalidTrace(f"{row.where} token", row.token, fix="sort a request's tokens in ascending order")


def _check_token(token: list[_Row], first: list[_Row]) -> None:
    where = f"{token[0].where} layers of token {token[0].token}"
    layers, wanted = [row.layer for row in token], [row.layer for row in first]
    if sorted(set(layers)) != layers:
        raise InvalidTrace(where, layers, fix="give each layer once, in ascending order")
    if layers != wanted:
        raise InvalidTrace(
            where, layers, fix=f"give every token the same layers, as the first: {_few(wanted)}"
        )
    for row in token:
        if len(row.ids) != len(first[0].ids):
            raise InvalidTrace(
                f"{row.where} experts",
                " ".join(map(str, row.ids)),
                fix=f"give as many experts as in the first row: {len(first[0].ids)}",
            )


def _few(numbers: list[int]) -> str:
    if len(numbers) <= 6:
        return ", ".join(map(str, numbers))
    return f"{len(numbers)} layers, {numbers[0]} to {numbers[-1]}"


def _routing(tokens: Iterable[list[_Row]], name: str, experts: int | None) -> Routing:
    sequences: dict[str, int] = {}
    ids, weights, sequence = [], [], []
    layers: tuple[int, ...] = ()
    for token in tokens:
        layers = tuple(row.layer for row in token)
        ids.append([row.ids for row in token])
        weights.append([row.weights for row in token])
        sequence.append(sequences.setdefault(token[0].sequence, len(sequences)))
    if not ids:
        raise InvalidTrace(name, 0, fix="give a routing with at least one token")
    return _made(
        name, layers=layers, ids=np.array(ids), weights=np.array(weights), sequence=np.array(sequence),
        experts=experts,
    )  # fmt: skip


def _made(
    name: str, *, layers: tuple[int, ...], ids: Ints, weights: Floats, sequence: Ints, experts: int | None
) -> Routing:
    return Routing(
        name=name,
        experts=experts or int(ids.max()) + 1,
        layer_numbers=layers,
        ids=ids.astype(np.int64),
        weights=weights.astype(np.float64),
        sequence=sequence.astype(np.int64),
    )


def read_folder(folder: Path, *, experts: int | None = None) -> Routing:
    """Read ESFT's files of one task, one for each layer."""
    named = {
        int(found[1]): path
        for path in folder.iterdir()
        if (found := re.fullmatch(r"expert_weights_(\d{1,4})\.txt", path.name))
    }
    if not named:
        raise InvalidTrace(
            f"{folder.name}: the number of files expert_weights_N.txt",
            0,
            fix="name the folder of one task, or a CSV file",
        )
    numbers = sorted(named)
    layers = [_layer(named[number], experts) for number in numbers]
    first = layers[0]
    for number, lines in zip(numbers, layers, strict=True):
        _check_layer(lines, first, name=named[number].name, first_name=named[numbers[0]].name)
    return _made(
        folder.name,
        layers=tuple(numbers),
        ids=np.stack([np.concatenate([ids for ids, _ in lines]) for lines in layers], axis=1),
        weights=np.stack([np.concatenate([weights for _, weights in lines]) for lines in layers], axis=1),
        sequence=np.repeat(np.arange(len(first)), [len(ids) for ids, _ in first]),
        experts=experts,
    )


def _layer(path: Path, experts: int | None) -> list[tuple[Ints, Floats]]:
    """Ids and weights of each line, of shape (tokens, experts per token)."""
    lines = path.read_text("utf-8").splitlines()
    if not lines:
        raise InvalidTrace(f"{path.name}: the number of rows", 0, fix="give one for each request")
    return [_line(line, f"{path.name} row {number}", experts) for number, line in enumerate(lines, start=1)]


def _line(line: str, where: str, experts: int | None) -> tuple[Ints, Floats]:
    ids, _, weights = line.partition("\t\t")
    width = ESFT_EXPERTS_PER_TOKEN
    told = ids.split()
    if not told or len(told) % width:
        raise InvalidTrace(
            f"{where}: the number of experts", len(told), fix=f"give {width} for each token, and two tabs"
        )
    rows = [
        _ids(told[i : i + width], f"{where}, token {i // width + 1}, experts", experts)
        for i in range(0, len(told), width)
    ]
    values = _weights(weights.split(), f"{where} weights", len(told))
    return np.array(rows), np.array(values).reshape(-1, width)


def _check_layer(
    lines: list[tuple[Ints, Floats]], first: list[tuple[Ints, Floats]], *, name: str, first_name: str
) -> None:
    if len(lines) != len(first):
        raise InvalidTrace(
            f"{name}: the number of rows", len(lines), fix=f"give as many as {first_name} has: {len(first)}"
        )
    for number, ((ids, _), (wanted, _)) in enumerate(zip(lines, first, strict=True), start=1):
        if len(ids) != len(wanted):
            raise InvalidTrace(
                f"{name} row {number}: the number of tokens",
                len(ids),
                fix=f"give as many as {first_name} row {number} has: {len(wanted)}",
            )


def _ids(texts: list[str], where: str, experts: int | None) -> tuple[int, ...]:
    bound = experts or MOST_EXPERTS
    ids = tuple(_whole(text, where) for text in texts)
    for one in ids:
        if one >= bound:
            fix = "`--experts`" if experts else "the most that is believed"
            raise InvalidTrace(where, one, fix=f"give ids below {bound}, {fix}")
    if len(set(ids)) < len(ids):
        raise InvalidTrace(where, " ".join(texts), fix="name each expert of a token once")
    return ids


def _weights(texts: list[str], where: str, count: int) -> tuple[float, ...]:
    if len(texts) != count:
        raise InvalidTrace(
            f"{where}: the number of weights", len(texts), fix=f"give one for each expert: {count}"
        )
    return tuple(_weight(text, where) for text in texts)


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text)
    except ValueError as error:
        raise InvalidTrace(where, text, fix="give weights that are numbers") from error
    if not math.isfinite(weight) or weight < 0.0:
        raise InvalidTrace(where, text, fix="give weights that are finite and not negative")
    return weight


def _whole(text: str, where: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise InvalidTrace(where, text, fix="give whole numbers") from error
    if number < 0:
        raise InvalidTrace(where, number, fix="give a number that is not negative")
    return number
