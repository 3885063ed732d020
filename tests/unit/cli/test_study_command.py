"""`loadline study experts`: from options to the shell, on a routing small enough to replay at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadline_cli.exits import Exit

HEADER = "sequence,token,layer,experts,weights\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Four requests of three tokens in two layers of four experts."""
    rows = [
        f"{sequence},{token},{layer},{(sequence + token) % 4} {(sequence + token + layer) % 4},0.6 0.4"
        for sequence in range(4)
        for token in range(3)
        for layer in (1, 2)
    ]
    path = tmp_path / "routing.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n", "utf-8")
    return path


def arguments(trace: Path, *more: str) -> list[str]:
    options = ("--expert-params", "1000", "--batch", "2", "--out", str(trace.parent / "out"))
    return ["study", "experts", str(trace), *options, *more]


def test_the_tables_and_the_report(trace: Path, loadline: Any) -> None:
    ended = loadline(*arguments(trace))
    assert ended.code == Exit.OK
    assert ended.out.startswith("2 of 8 experts in memory (0.0 GiB, bf16), in batches of 2\n")
    assert "(Belady, all known)" in ended.out
    assert "qmoe (paper)" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert f"report: {trace.parent / 'out' / 'report.html'}" in ended.err


def test_json_is_the_summary_and_nothing_else(trace: Path, loadline: Any) -> None:
    ended = loadline(*arguments(trace, "-o", "json"))
    printed = json.loads(ended.out, parse_constant=pytest.fail)
    assert printed == json.loads((trace.parent / "out" / "summary.json").read_text("utf-8"))
    assert printed["checks"]["belady_is_best"]["ok"] is True


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--slots", "1"), "error: `--slots` is 1\nhint: give memory for one expert in each of the 2 layers"),
        (("--batch", "3"), "error: `--batch` is 3\nhint: 2 requests are replayed: give at most that many\n"),
        (("--precision", "int2"), "error: `--precision` is 'int2'\nhint: use one of bf16, fp8, int4"),
        (
            ("--experts", "3"),
            "error: `routing.csv row 5 experts` is 3\nhint: give ids below 3, `--experts`\n",
        ),
        (("--tokens", "2"), "error: `routing.csv: the number of requests` is 1\nhint: give two or more"),
    ],
    ids=["slots", "batch", "precision", "experts", "tokens"],
)
def test_what_does_not_fit_is_refused_with_its_fix(
    trace: Path, loadline: Any, options: tuple[str, ...], says: str
) -> None:
    ended = loadline(*arguments(trace, *options))
    assert (ended.code, ended.out) == (Exit.COULD_NOT_RUN, "")
    assert ended.err.startswith(says)


def test_a_trace_needs_the_size_of_its_experts(trace: Path, loadline: Any) -> None:
    ended = loadline("study", "experts", str(trace))
    assert ended.code == Exit.COULD_NOT_RUN
    assert ended.err.startswith("error: `--expert-params` is needed with a TRACE\nhint: give the weights")


def test_a_trace_that_is_not_there_is_named(tmp_path: Path, loadline: Any) -> None:
    ended = loadline(*arguments(tmp_path / "nowhere.csv"))
    assert ended.code == Exit.COULD_NOT_RUN
    assert "nowhere.csv`: no such file or directory\nhint: name a CSV file or a folder" in ended.err
