"""Journals: bounded, in full, and never a reason to fail."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadline_agent import journals
from loadline_agent.journals import Journal, plain
from loadline_api.visible_texts import visible
from loadline_policies.power.protocol.messages import Act, Epoch
from testbed.foreign_texts import foreign_texts


@dataclass(frozen=True)
class Thing:
    act: Act
    epoch: Epoch | None
    seconds: float
    names: frozenset[str]


def journal(file: Path | None = None) -> Journal:
    return Journal("node-0", wall=lambda: 12.3456, file=file)


def test_an_entry_carries_observation_decision_and_reason() -> None:
    kept = journal()
    kept.write(
        "power/polca",
        observation={"load": 0.9},
        decision={"level": "LowDeep"},
        reason="moved",
        domain="row-a",
    )
    assert json.loads(kept.lines()) == {
        "t": 12.346,
        "who": "node-0",
        "what": "power/polca",
        "domain": "row-a",
        "observation": {"load": 0.9},
        "decision": {"level": "LowDeep"},
        "reason": "moved",
    }


def test_values_are_written_as_json_knows_them() -> None:
    thing = Thing(Act.ENFORCE, Epoch(3, "uid"), float("-inf"), frozenset({"b", "a"}))
    assert plain(thing) == {
        "act": "Enforce",
        "epoch": {"transitions": 3, "lease_uid": "uid"},
        "seconds": "-inf",
        "names": ["a", "b"],
    }


@given(st.floats())
@example(float("nan"))
def test_any_number_of_a_decision_survives_the_journal(value: float) -> None:
    kept = journal()
    kept.write("x", observation=plain(value), decision=None, reason="")
    assert repr(float(json.loads(kept.lines())["observation"])) == repr(value)


@given(foreign_texts)
def test_any_text_of_a_decision_is_one_line_that_does_nothing_to_a_terminal(text: str) -> None:
    kept = journal()
    kept.write("x", observation=text, decision=None, reason=text)
    (line,) = kept.lines().splitlines()
    assert json.loads(line)["reason"] == json.loads(json.dumps(text))
    assert visible(line) == line


def test_the_ring_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_ENTRIES", 3)
    kept = journal()
    for number in range(5):
        kept.write("x", observation=number, decision=None, reason="")
    assert [json.loads(line)["observation"] for line in kept.lines().splitlines()] == [2, 3, 4]
    assert [json.loads(line)["observation"] for line in kept.lines(1).splitlines()] == [4]
    assert kept.lines(0) == ""


def test_two_files_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "journal.jsonl"
    kept = journal(file)
    kept.write("x", observation=0, decision=None, reason="")
    monkeypatch.setattr(journals, "MOST_BYTES", 2 * file.stat().st_size)
    for number in range(1, 5):
        kept.write("x", observation=number, decision=None, reason="")
    files = (tmp_path / "journal.jsonl.1", file)
    numbers = [[json.loads(line)["observation"] for line in one.read_text().splitlines()] for one in files]
    assert numbers == [[2, 3], [4]]


def test_a_disk_that_refuses_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    kept = journal(tmp_path / "missing" / "journal.jsonl")
    kept.write("x", observation=1, decision=None, reason="")
    assert kept.failures == 1
    assert kept.lines()


def test_every_entry_is_told_to_the_log() -> None:
    told: list[journals.Entry] = []
    kept = Journal("node-0", wall=lambda: 0.0, tell=told.append)
    kept.write("leaf/step-down", observation=None, decision=None, reason="deadline")
    assert [entry["reason"] for entry in told] == ["deadline"]
