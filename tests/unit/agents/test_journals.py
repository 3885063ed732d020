"""The journal's files: two of a fixed size, and never a reason to fail."""

import json
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


def test_two_files_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "journal.jsonl"
    kept = JournalFile(file)
    kept.keep(line(0))
    monkeypatch.setattr(journals, "MOST_BYTES", 2 * file.stat().st_size)
    for number in range(1, 5):
        kept.keep(line(number))
    files = (tmp_path / "journal.jsonl.1", file)
    numbers = [[json.loads(line)["observation"] for line in one.read_text().splitlines()] for one in files]
    assert numbers == [[2, 3], [4]]


def test_a_disk_that_refuses_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    kept = JournalFile(tmp_path / "missing" / "journal.jsonl")
    kept.keep(line(1))
    assert kept.failures == 1
