"""The journal's files: two of a fixed size, and never a reason to fail."""

import json
import os
from pathlib import Path

import pytest

from loadline_agent import journals
from loadline_agent.journals import JournalFile
from loadline_api.journals import Component, JournalEntry


def line(number: int) -> str:
    entry = JournalEntry(
        time="2026-01-01T12:00:00.000+00:00", component=Component.AGENT, node="node-0", decider="leaf/lease",
        kind="Node", name="node-0", observation=number, decision=None, reason="",
    )  # fmt: skip
    return entry.to_line()


def test_two_files_take_turns(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    kept = JournalFile(file, most_bytes=2 * (2 * len(line(0)) + 3))
    for number in range(5):
        kept.keep(line(number))
    kept.close()
    files = (tmp_path / "journal.jsonl.1", file)
    numbers = [[json.loads(line)["observation"] for line in one.read_text().splitlines()] for one in files]
    assert numbers == [[2, 3], [4]]


@pytest.mark.parametrize("torn", ["", '{"time":"2026', line(0)])
def test_half_a_line_of_a_killed_agent_does_not_spoil_the_next(tmp_path: Path, torn: str) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text(f"{line(1)}\n{torn}", "utf-8")
    kept = JournalFile(file, most_bytes=1 << 20)
    kept.keep(line(2))
    kept.close()
    assert file.read_text("utf-8") == f"{line(1)}\n{line(2)}\n"


def test_a_disk_that_refuses_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    lost: list[int] = []
    kept = JournalFile(tmp_path / "missing" / "journal.jsonl", most_bytes=1024, lost=lambda: lost.append(1))
    kept.keep(line(1))
    kept.close()
    assert len(lost) == 1


def test_a_disk_that_stands_still_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, lost = tmp_path / "journal.jsonl", [0]
    os.mkfifo(pipe)  # opening it waits for a reader, as a stuck disk would
    monkeypatch.setattr(journals, "MOST_WAITING", 4)
    monkeypatch.setattr(journals, "CLOSE_WITHIN_S", 0.01)

    def count() -> None:
        lost[0] += 1

    kept = JournalFile(pipe, most_bytes=1024, lost=count)
    for number in range(100):
        kept.keep(line(number))
    kept.close()
    assert lost[0] >= 95
    with pipe.open() as reader:  # let the thread go
        assert reader.readline()
