"""What can't be replayed is refused with the number of its row, or left out and told, as asked."""

import gzip
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidTrace
from loadline_sim import skipped
from loadline_sim.traffic import arrivals, layouts, pieces, trace_files
from loadline_sim.traffic.trace_files import TraceFile
from loadline_sim.traffic.traces import Trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = "2023-11-16 18:17:03.9799600,4808,10\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, *rows: str, header: str = HEADER, **options: Any) -> TraceFile:
    """A trace of these rows under the usual header."""
    path = folder / "week.csv"
    path.write_text(header + "".join(rows), "utf-8")
    return trace_files.read(path, **options)


def test_times_are_read_as_seconds(folder: Path) -> None:
    trace = read(folder, "0.5,1,2\n", "1.5,3,4\n").trace
    assert trace.arrival_s.tolist() == [0.5, 1.5]
    assert trace.prompt_tokens.tolist() == [1, 3]
    assert trace.output_tokens.tolist() == [2, 4]


@pytest.mark.parametrize("later", ["2023-11-16 18:17:05.4799600", "2023-11-16T18:17:05.479960+00:00"])
def test_timestamps_keep_their_distance(folder: Path, later: str) -> None:
    trace = read(folder, GOOD, f"{later},1,2\n").trace
    assert trace.arrival_s[1] - trace.arrival_s[0] == pytest.approx(1.5)


BAD = {
    "hole": ("2023-11-16 18:17:04,,10\n", r"row 3 ContextTokens is '': fill the hole"),
    "short-row": ("9,12\n", r"row 3 is '9,12': give 3 values, there are 2"),
    "long-row": ("2023-11-16 18:17:04,12,1,1\n", r"row 3 .*: give 3 values, there are 4"),
    "no-time": (",12,10\n", r"row 3 TIMESTAMP is '': fill the hole"),
    "negative-prompt": ("2023-11-16 18:17:04,-5,10\n", r"row 3 ContextTokens is '-5': .* not negative"),
    "negative-answer": ("2023-11-16 18:17:04,5,-1\n", r"row 3 GeneratedTokens is '-1': .* not negative"),
    "fraction": ("2023-11-16 18:17:04,5.5,1\n", r"row 3 ContextTokens is '5.5': give a whole number"),
    "infinite": ("2023-11-16 18:17:04,inf,1\n", r"row 3 ContextTokens is 'inf': give a whole number"),
    "too-long": ("2023-11-16 18:17:04,99999999999,1\n", r"row 3 ContextTokens .*: give at most 10000000"),
    "longer-still": (f"2023-11-16 18:17:04,{'9' * 5000},1\n", r"row 3 ContextTokens .*: give a whole number"),
    "long-row-no-utf8": ("1,1,\udcff,1\n", r"row 3 is '1,1,\?,1': give 3 values, there are 4"),
    "unsorted": ("2023-11-16 18:17:01,5,1\n", r"row [23] TIMESTAMP .*: sort the trace"),
    "nan": ("nan,5,1\n", r"row 3 TIMESTAMP is 'nan': give a time that is a number"),
    "infinite-time": ("1e999,5,1\n", r"row 3 TIMESTAMP is '1e999': give a time that is a number"),
    "no-date": ("yesterday,5,1\n", r"row 3 TIMESTAMP is 'yesterday': write it as"),
    "no-utf8": ("2023-11-16 18:17:04,\udcff,1\n", r"row 3 ContextTokens is '\?': give a whole number"),
}


@pytest.mark.parametrize(("row", "says"), BAD.values(), ids=BAD)
def test_a_bad_row_is_refused_by_its_number(folder: Path, row: str, says: str) -> None:
    path = folder / "week.csv"
    path.write_bytes((HEADER + GOOD + row).encode(errors="surrogateescape"))
    with pytest.raises(InvalidTrace, match=rf"week\.csv {says}"):
        trace_files.read(path)


def test_the_first_bad_row_is_named_wherever_a_piece_ends(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 64)
    rows = [f"{second},5,1\n" for second in range(100)]
    rows[70], rows[90] = "70,5\n", "90,-1,1\n"
    with pytest.raises(InvalidTrace, match="row 72 is '70,5'"):
        read(folder, *rows)


def test_skipped_rows_are_counted_and_listed(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 64)
    rows = [f"{second},5,1\n" for second in range(100)]
    rows[10], rows[20], rows[21], rows[70], rows[99] = "9,5\n", "x,5,1\n", "99999,1,1\n", "70,-5,1\n", "1\n"
    found = read(folder, *rows, skip_bad=True)
    assert found.trace.arrival_s.tolist() == [s for s in range(100) if s not in {10, 20, 21, 70, 99}]
    assert found.skipped.count == 5
    assert found.skipped.reasons == {
        "give 3 values, there are 2": 1,
        "give 3 values, there are 1": 1,
        "write it as a number or as YYYY-MM-DD HH:MM:SS.ffffff": 1,
        "give a number of tokens that is not negative": 1,
        "sort the trace by its times": 1,
    }
    numbers = sorted(int(text.split(" row ")[1].split()[0]) for text in found.skipped.listed)
    assert numbers == [12, 22, 23, 72, 101]


def test_no_more_than_some_skipped_rows_are_listed(folder: Path) -> None:
    found = read(folder, GOOD, *(["x,5,1\n"] * 1000), skip_bad=True)
    assert found.skipped.count == 1000
    assert len(found.skipped.listed) == skipped.MOST_LISTED


def test_missing_columns_are_named(folder: Path) -> None:
    with pytest.raises(InvalidTrace, match=r"week.csv row 1 is .*: name the columns as one of these"):
        read(folder, "1,2\n", header="a,b\n")


def test_columns_that_a_user_names_are_missed_by_name(folder: Path) -> None:
    layout = layouts.parsed("arrival=a,prompt=b,output=c")
    with pytest.raises(InvalidTrace, match="there is no column c"):
        read(folder, "1,2\n", header="a,b\n", layout=layout)


@pytest.mark.parametrize("text", [HEADER, "", "\n\n", HEADER.strip()])
def test_an_empty_trace_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InvalidTrace, match=r"at least one request|name the columns"):
        read(folder, header=text)


def test_a_trace_of_bad_rows_alone_is_refused_even_if_they_are_skipped(folder: Path) -> None:
    with pytest.raises(InvalidTrace, match="at least one request"):
        read(folder, "x,1,1\n", "2\n", skip_bad=True)


def test_a_byte_order_mark_is_no_part_of_a_column(folder: Path) -> None:
    assert len(read(folder, GOOD, header=f"\ufeff{HEADER}").trace) == 1


@pytest.mark.parametrize(("suffix", "packed"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_a_compressed_file_reads_as_a_plain_one(folder: Path, suffix: str, packed: Any) -> None:
    path = folder / f"t.csv.{suffix}"
    path.write_bytes(packed((HEADER + GOOD).encode()))
    assert trace_files.read(path).trace.arrival_s == read(folder, GOOD).trace.arrival_s


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.xz", "t.parquet"])
def test_a_file_that_is_not_what_its_name_says_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"no such thing")
    with pytest.raises(InvalidTrace, match="whose contents are what its name says"):
        trace_files.read(folder / name)


def test_half_a_compressed_file_is_refused(folder: Path) -> None:
    whole = gzip.compress((HEADER + "".join(f"{i},1,1\n" for i in range(9999))).encode())
    (folder / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidTrace, match="give a whole file"):
        trace_files.read(folder / "t.csv.gz")


@pytest.mark.parametrize("name", ["trace", "trace.txt", "trace.gz", "csv"])
def test_a_file_of_no_known_kind_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_text(HEADER + GOOD, "utf-8")
    with pytest.raises(InvalidTrace, match=r"ends in .csv, .jsonl, .parquet"):
        trace_files.read(folder / name)


def lines(folder: Path, *rows: str, **options: Any) -> TraceFile:
    (folder / "week.jsonl").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return trace_files.read(folder / "week.jsonl", **options)


def request(**fields: Any) -> str:
    return json.dumps({"timestamp": 3000, "input_length": 600, "output_length": 5, **fields})


def test_json_lines_are_read_with_their_blocks(folder: Path) -> None:
    found = lines(folder, request(hash_ids=[0, 1]), "", request(timestamp=6000, hash_ids=[0, 7]))
    assert found.layout is layouts.MOONCAKE
    assert found.trace.arrival_s.tolist() == [3.0, 6.0]
    assert found.trace.prefixes is not None
    assert found.trace.prefixes.block_tokens == 512


def test_blocks_may_be_missing(folder: Path) -> None:
    assert lines(folder, request()).trace.prefixes is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "row 2 is '{.*': write a JSON object"),
        ("[1]", "row 2 .* write a JSON object"),
        ("[" * 100_000, "row 2 .* write a JSON object"),
        (request(timestamp=None), "row 2 timestamp is null: fill the hole"),
        (request(timestamp=True), "row 2 timestamp is true: write it as a number"),
        (request(input_length=[1]), r"row 2 input_length is \[1\]: give a whole number"),
        (request(output_length=float("nan")), "row 2 output_length is nan: give a whole number"),
        (request(hash_ids="0 1"), "row 2 hash_ids is '?0 1'?: give a list of ids"),
        (request(hash_ids=[0, -1]), r"row 2 hash_ids is \[0, -1\]: give a list of ids"),
        (request(hash_ids=[True]), r"row 2 hash_ids is \[true\]: give a list of ids"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(folder: Path, row: str, says: str) -> None:
    with pytest.raises(InvalidTrace, match=rf"week\.jsonl {says}"):
        lines(folder, request(), row)


def test_priorities_are_read_from_any_kind_of_file(folder: Path) -> None:
    rows = [(0.0, 5, 1, 2), (1.0, 6, 1, -1)]
    names = ("arrival_s", "prompt_tokens", "output_tokens", "priority")
    text = "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)])
    (folder / "t.csv").write_text(text + "\n", "utf-8")
    objects = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    (folder / "t.jsonl").write_text(objects + "\n", "utf-8")
    columns = zip(*rows, strict=True)
    pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), folder / "t.parquet")
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        priority = trace_files.read(folder / name).trace.priority
        assert priority is not None
        assert priority.tolist() == [2, -1]


@pytest.mark.parametrize("value", ["", "x", "0.5", "9999999"])
def test_a_priority_that_is_none_is_refused_by_its_row(folder: Path, value: str) -> None:
    header = "arrival_s,prompt_tokens,output_tokens,priority"
    (folder / "t.csv").write_text(f"{header}\n0.0,1,1,{value}\n", "utf-8")
    with pytest.raises(
        InvalidTrace, match=r"row 2 priority is .* give a whole number, the lower the earlier"
    ):
        trace_files.read(folder / "t.csv")


def test_requests_that_are_chosen_or_moved_keep_their_priorities() -> None:
    trace = Trace(np.array([0.0, 1.0]), np.ones(2, np.int64), np.ones(2, np.int64), priority=np.array([3, 4]))
    kept = [trace.select(np.array([1])), trace.later(2.0).between(3.0, 4.0)]
    assert [one.priority.tolist() for one in kept if one.priority is not None] == [[4], [4]]
    twice = arrivals.scaled(trace, 2.0, seed=1).priority
    assert twice is not None
    assert sorted(twice) == [3, 3, 4, 4]


def test_lines_without_any_object_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidTrace, match="name the columns"):
        lines(folder, "nonsense", skip_bad=True)


def test_parquet_is_read_with_whatever_types_its_columns_have(folder: Path) -> None:
    table = pa.table(
        {
            "arrival_s": pa.array([1_000, 2_500], pa.timestamp("ms")),
            "prompt_tokens": [5.0, 6.0],
            "output_tokens": pa.array([1, 2], pa.int16()),
            "unused": ["a", "b"],
        }
    )
    pq.write_table(table, folder / "t.parquet")
    trace = trace_files.read(folder / "t.parquet").trace
    assert trace.arrival_s.tolist() == [1.0, 2.5]
    assert trace.prompt_tokens.tolist() == [5, 6]


def test_a_hole_in_parquet_is_refused_by_its_row(folder: Path) -> None:
    table = pa.table({"arrival_s": [1.0, 2.0], "prompt_tokens": [5, None], "output_tokens": [1, 2]})
    pq.write_table(table, folder / "t.parquet")
    with pytest.raises(InvalidTrace, match="row 2 prompt_tokens is null: fill the hole"):
        trace_files.read(folder / "t.parquet")


EXCERPTS = Path(__file__).with_name("excerpts")


@pytest.mark.parametrize(
    ("name", "layout", "requests"),
    [
        ("azure-2024.csv", layouts.AZURE, 120),
        ("burstgpt-1.csv", layouts.BURST_GPT, 120),
        ("burstgpt-3.csv", layouts.BURST_GPT, 120),
    ],
)
def test_layouts_that_could_not_be_had_are_read_by_column_name(
    name: str, layout: layouts.Layout, requests: int
) -> None:
    found = trace_files.read(EXCERPTS / name)
    assert found.layout is layout
    assert len(found.trace) == requests
    assert not found.skipped.count
    assert found.trace.prompt_tokens.min() > 0


def test_both_files_of_burstgpt_have_the_same_requests() -> None:
    """The third file has a session id and an elapsed time before the columns of the first."""
    first, third = (trace_files.read(EXCERPTS / f"burstgpt-{number}.csv").trace for number in (1, 3))
    assert (first.arrival_s == third.arrival_s).all()
    assert (first.output_tokens == third.output_tokens).all()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_without_the_odd_times_the_others_are_in_order(times: Sequence[int]) -> None:
    arrival_s = np.array(times, np.float64)
    odd = trace_files.out_of_order(arrival_s)
    left = np.delete(arrival_s, odd)
    assert (np.diff(left) >= 0).all()
    assert not odd.size or (np.diff(arrival_s) < 0).any()


def test_one_time_that_is_far_too_late_is_one_odd_time() -> None:
    assert trace_files.out_of_order(np.array([1.0, 2.0, 9e9, 3.0, 4.0, 5.0])).tolist() == [2]


def test_progress_ends_at_the_whole_file(folder: Path) -> None:
    shares: list[float] = []
    read(folder, GOOD, told=shares.append)
    assert shares[-1] == 1.0
