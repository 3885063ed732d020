"""Journals have one form of entry, keep the newest ones in full, and are never a reason to fail."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadline_api.journals import Component, Journal, JournalEntry, plain
from loadline_api.visible_texts import visible
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Act, Epoch
from testbed.foreign_texts import foreign_texts

NOON_S = 1_767_268_800.0


@dataclass(frozen=True)
class Thing:
    act: Act
    epoch: Epoch | None
    seconds: float
    names: frozenset[str]


def journal(
    component: Component = Component.AGENT,
    *,
    written: Callable[[JournalEntry, str], None] = lambda entry, line: None,
    most: int = 100,
) -> Journal:
    node = "node-0" if component is Component.AGENT else ""
    return Journal(component, node=node, wall=lambda: NOON_S + 0.25, written=written, most=most)


def write(kept: Journal, observation: object, reason: str = "") -> None:
    kept.write(
        "power/polca",
        kind="PowerDomain",
        name="row-a",
        observation=observation,
        decision={"level": "LowDeep"},
        reason=reason,
    )


@pytest.mark.parametrize(("component", "node"), [("agent", "node-0"), ("operator", "")])
def test_an_entry_carries_observation_decision_and_reason(component: str, node: str) -> None:
    kept = journal(Component(component))
    write(kept, {"load": 0.9}, "moved")
    assert json.loads(kept.text()) == {
        "time": "2026-01-01T12:00:00.250+00:00",
        "component": component,
        "node": node,
        "decider": "power/polca",
        "kind": "PowerDomain",
        "name": "row-a",
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
    write(kept, value)
    assert repr(float(json.loads(kept.text())["observation"])) == repr(value)


@given(foreign_texts)
def test_any_text_of_a_decision_is_one_line_that_does_nothing_to_a_terminal(text: str) -> None:
    kept = journal()
    write(kept, text, text)
    (line,) = kept.text().splitlines()
    assert json.loads(line)["reason"] == json.loads(json.dumps(text))
    assert visible(line) == line


@given(st.integers(0, 12), st.integers(1, 5), st.integers(-2, 14))
def test_the_newest_entries_are_kept_and_the_last_ones_given(entries: int, most: int, last: int) -> None:
    kept = journal(most=most)
    for number in range(entries):
        write(kept, number)

    def numbers(text: str) -> list[int]:
        return [json.loads(line)["observation"] for line in text.splitlines()]

    newest = list(range(entries))[-most:]
    assert numbers(kept.text()) == newest
    assert numbers(kept.text(last)) == (newest[-last:] if last > 0 else [])


def test_every_entry_is_told_to_logs_and_files() -> None:
    told: list[tuple[JournalEntry, str]] = []
    kept = journal(written=lambda entry, line: told.append((entry, line)))
    write(kept, None, "deadline")
    assert [entry.reason for entry, _ in told] == ["deadline"]
    assert [f"{line}\n" for _, line in told] == [kept.text()]


@pytest.mark.parametrize(("last", "given"), [("", 3), ("2", 2), ("0", 0), ("99", 3)])
def test_a_reader_asks_for_the_last_entries_or_for_all(last: str, given: int) -> None:
    kept = journal()
    for number in range(3):
        write(kept, number)
    assert len(kept.asked_for(last).splitlines()) == given


@pytest.mark.parametrize("last", ["-1", "few", "1.5", "9" * 5000])
def test_what_is_no_number_of_entries_is_refused_by_name(last: str) -> None:
    with pytest.raises(InvalidInput, match=r"last is .*: give a whole number of entries"):
        journal().asked_for(last)
