"""
Recorded requests: when they came, how long their prompts and answers were.

A trace is read once, at the door, and whatever can't be replayed is refused with the
number of its row: a hole, a length below zero, a time that is no time or runs
backwards. Guessing a value for it would put the guess into every figure after.

The Azure 2023 traces ship with the simulator; see `data/README.md` for their licence.
Scaling them to a row's size is the business of `arrivals`.
"""

import csv
import gzip
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidTrace

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
AZURE_FILES = {
    "code": "AzureLLMInferenceTrace_code.csv.gz",
    "chat": "AzureLLMInferenceTrace_conv.csv.gz",
}
"""The file of each service of the demo's row."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival; one entry each, times in seconds after the trace's origin."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.arrival_s.size)

    def later(self, delay_s: float) -> "Trace":
        """The same requests, all so much later."""
        return Trace(self.arrival_s + delay_s, self.prompt_tokens, self.output_tokens)

    def between(self, start_s: float, end_s: float) -> "Trace":
        """The requests of [start, end), their times still after the trace's origin."""
        first, last = np.searchsorted(self.arrival_s, [start_s, end_s])
        return Trace(
            self.arrival_s[first:last], self.prompt_tokens[first:last], self.output_tokens[first:last]
        )


@cache
def azure_2023() -> dict[str, Trace]:
    """The code and chat traces of Azure 2023 on one clock, whose zero is the first request of the two."""
    folder = files("loadline_sim.data")
    traces = {}
    for service, name in AZURE_FILES.items():
        with folder.joinpath(name).open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as text:
            traces[service] = read(text, name)
    origin_s = min(float(trace.arrival_s[0]) for trace in traces.values())
    return {
        service: Trace(trace.arrival_s - origin_s, trace.prompt_tokens, trace.output_tokens)
        for service, trace in traces.items()
    }


def read_file(path: Path) -> Trace:
    """The trace in a CSV file, gzipped if its name ends so; InvalidTrace names the first bad row."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return read(file, path.name)
    with path.open(encoding="utf-8") as file:
        return read(file, path.name)


def read(file: TextIO, name: str) -> Trace:
    """A trace from CSV with the Azure columns, its times in seconds since the epoch.

    Rows are counted as an editor shows them: the header is row 1.
    """
    reader = csv.DictReader(file)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise InvalidTrace(f"{name} row 1", reader.fieldnames, fix=f"name the columns {', '.join(COLUMNS)}")
    return _trace(_requests(reader, name), name)


def _requests(rows: Iterable[Mapping[str, str | None]], name: str) -> Iterable[tuple[float, int, int]]:
    last_s = -math.inf
    for number, row in enumerate(rows, start=2):
        where = f"{name} row {number}"
        time_s = _seconds(row["TIMESTAMP"], f"{where} TIMESTAMP")
        if time_s < last_s:
            raise InvalidTrace(f"{where} TIMESTAMP", row["TIMESTAMP"], fix="sort the trace by TIMESTAMP")
        last_s = time_s
        prompt = _tokens(row["ContextTokens"], f"{where} ContextTokens")
        yield time_s, prompt, _tokens(row["GeneratedTokens"], f"{where} GeneratedTokens")


def _trace(requests: Iterable[tuple[float, int, int]], name: str) -> Trace:
    columns = list(zip(*requests, strict=True))
    if not columns:
        raise InvalidTrace(name, 0, fix="give a trace with at least one request")
    times, prompts, outputs = columns
    return Trace(np.array(times), np.array(prompts, dtype=np.int64), np.array(outputs, dtype=np.int64))


def _seconds(text: str | None, where: str) -> float:
    """Seconds since the epoch of a plain number or a timestamp; finer than microseconds is cut off."""
    if not text or not text.strip():
        raise InvalidTrace(where, text, fix="fill the hole, or take the row out")
    try:
        seconds = float(text)
    except ValueError:
        seconds = _timestamp(text, where)
    if not math.isfinite(seconds):
        raise InvalidTrace(where, text, fix="give a time that is a number")
    return seconds


def _timestamp(text: str, where: str) -> float:
    try:
        return datetime.fromisoformat(text.strip()[:26] + "+00:00").timestamp()
    except ValueError as error:
        raise InvalidTrace(where, text, fix="write it as seconds or as YYYY-MM-DD HH:MM:SS.ffffff") from error


def _tokens(text: str | None, where: str) -> int:
    if not text or not text.strip():
        raise InvalidTrace(where, text, fix="fill the hole, or take the row out")
    try:
        tokens = int(text)
    except ValueError as error:
        raise InvalidTrace(where, text, fix="give a whole number of tokens") from error
    if tokens < 0:
        raise InvalidTrace(where, tokens, fix="give a number of tokens that is not negative")
    return tokens
