"""What can't be replayed is refused with the number of its row."""

import gzip
from io import StringIO
from pathlib import Path

import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim.traffic import traces

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = "2023-11-16 18:17:03.9799600,4808,10\n"


def read(*rows: str) -> traces.Trace:
    """A trace of these rows under the usual header."""
    return traces.read(StringIO(HEADER + "".join(rows)), "week.csv")


def test_times_are_read_as_timestamps_and_as_seconds() -> None:
    trace = read("0.5,1,2\n", "1.5,3,4\n")
    assert trace.arrival_s.tolist() == [0.5, 1.5]
    assert trace.prompt_tokens.tolist() == [1, 3]


def test_timestamps_keep_their_distance() -> None:
    trace = read(GOOD, "2023-11-16 18:17:05.4799600,1,2\n")
    assert trace.arrival_s[1] - trace.arrival_s[0] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("2023-11-16 18:17:04,,10\n", r"row 3 ContextTokens is '': fill the hole"),
        ("2023-11-16 18:17:04,12\n", r"row 3 GeneratedTokens is null: fill the hole"),
        (",12,10\n", r"row 3 TIMESTAMP is '': fill the hole"),
        ("2023-11-16 18:17:04,-5,10\n", r"row 3 ContextTokens is -5: .* not negative"),
        ("2023-11-16 18:17:04,5,-1\n", r"row 3 GeneratedTokens is -1: .* not negative"),
        ("2023-11-16 18:17:04,5.5,1\n", r"row 3 ContextTokens is '5.5': give a whole number"),
        ("2023-11-16 18:17:01,5,1\n", r"row 3 TIMESTAMP .*: sort the trace"),
        ("nan,5,1\n", r"row 3 TIMESTAMP is 'nan': give a time that is a number"),
        ("yesterday,5,1\n", r"row 3 TIMESTAMP is 'yesterday': write it as"),
    ],
    ids=["hole", "short-row", "no-time", "negative-prompt", "negative-answer", "fraction", "unsorted", "nan",
         "no-date"],
)  # fmt: skip
def test_a_bad_row_is_refused_by_its_number(row: str, says: str) -> None:
    with pytest.raises(InvalidTrace, match=rf"week\.csv {says}"):
        read(GOOD, row)


def test_missing_columns_are_named() -> None:
    with pytest.raises(InvalidTrace, match="name the columns TIMESTAMP, ContextTokens, GeneratedTokens"):
        traces.read(StringIO("a,b\n1,2\n"), "week.csv")


def test_an_empty_trace_is_refused() -> None:
    with pytest.raises(InvalidTrace, match="at least one request"):
        read()


def test_a_gzipped_file_reads_as_a_plain_one(tmp_path: Path) -> None:
    plain, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    plain.write_text(HEADER + GOOD, "utf-8")
    packed.write_bytes(gzip.compress((HEADER + GOOD).encode()))
    assert traces.read_file(plain).arrival_s == traces.read_file(packed).arrival_s


def test_the_azure_traces_share_one_clock() -> None:
    recorded = traces.azure_2023()
    assert {name: len(trace) for name, trace in recorded.items()} == {"code": 8819, "chat": 19366}
    assert recorded["chat"].arrival_s[0] == 0.0
    assert recorded["code"].arrival_s[0] == pytest.approx(77.3, abs=0.1)
