"""What was decided live is decided again: the same by the same documents, and otherwise by others."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power import polca
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.claims import Claim
from loadline_sim.journals.files import documents
from loadline_sim.journals.replays import MOST_LISTED, Levels, Replay, replay
from testbed.shaken_rows.rows import POLCA, STATIC, Bench
from tests.unit.simulator.journals.test_entries import journal_into

EXCERPTS = Path(__file__).parent / "excerpts"
LIVE = [EXCERPTS / f"live-demo-{node}.jsonl.xz" for node in ("node-01", "node-00")]
"""See README.md beside them."""


def polca_of(**settings: int) -> PowerDocument:
    said = {"schema": SCHEMA, "loop": "power", "policy": "polca", "settings": settings}
    return parse_power(json.dumps(said))


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The journal of a row on paper that brakes, loses its coordinator, and gets other policies."""
    lines: list[str] = []
    row = Bench(seed=5, journalled=lines.append)
    row.demand(150.0)
    row.run(20.0)
    for watts in (190.0, 260.0, 320.0, 150.0):
        row.demand(watts)
        row.run(12.0)
    row.leaders()[0].process.kill()
    row.demand(200.0)
    row.run(30.0)
    row.declare(_with(row, polca_of(threshold1Percent=70, threshold2Percent=75, actuationMillis=500)))
    row.demand(160.0)
    row.run(15.0)
    row.declare(_with(row, STATIC))
    row.run(5.0)
    return lines


def _with(row: Bench, document: PowerDocument) -> Domain:
    return replace(row.site.domain, document=document)


@pytest.fixture
def journal(tmp_path: Path, lines: list[str]) -> Callable[..., Path]:
    def write(changed: Iterable[str] = lines) -> Path:
        path = tmp_path / "journal.jsonl"
        path.write_text("".join(f"{line}\n" for line in changed), "utf-8")
        return path

    return write


def test_a_row_in_virtual_time_is_decided_again_to_the_last_digit(journal: Callable[..., Path]) -> None:
    found = replay([journal()])
    assert found.is_same
    assert {decider for decider, _ in found.counts} == {"power/polca", "power/static-cap"}
    assert found.compared > 100
    assert len({name for _, name in found.counts}) == 3, "three documents were in force"
    assert found.terms >= 3
    assert len(found.nodes) == 2, "there was a successor"
    assert not found.rehashed
    assert not found.unknown
    assert not found.unseen_s


def test_the_recorded_live_demo_is_decided_again_to_the_last_digit() -> None:
    found = replay(LIVE)
    assert found.is_same, found.differences
    assert found.compared == 1356
    assert found.domains == {"row-a"}
    assert found.nodes == {"node-00", "node-01"}
    assert (found.terms, len(found.counts), found.unlinked) == (2, 2, 0)


def test_on_its_loads_a_lower_threshold_caps_more() -> None:
    edited = list(documents(LIVE).values())[-1].document
    assert isinstance(edited.config, polca.Config)
    lower = replace(edited, config=edited.config.model_copy(update={"threshold1_percent": 75}))
    assert replay(LIVE[1:], document=edited).is_same
    found = replay(LIVE[1:], document=lower)
    assert found.stays[Levels("Normal", "LowShallow")].seconds > 10.0
    assert Levels("LowShallow", "Normal") not in found.stays


def test_its_own_document_decides_the_same_as_what_if_too(
    journal: Callable[..., Path], lines: list[str]
) -> None:
    mine = [line for line in lines if POLCA.hash in line]
    found = replay([journal(mine)], document=POLCA)
    assert found.is_same
    assert all(levels.recorded == levels.replayed for levels in found.stays)
    assert sum(stay.decisions for stay in found.stays.values()) == found.compared


def test_a_lower_threshold_is_found_with_level_time_and_draw(
    journal: Callable[..., Path], lines: list[str]
) -> None:
    mine = [line for line in lines if POLCA.hash in line]
    lower = polca_of(threshold1Percent=50, threshold2Percent=95, actuationMillis=500)
    found = replay([journal(mine)], document=lower)
    assert not found.is_same
    stay = found.stays[Levels("Normal", "LowShallow")]
    assert stay.seconds > 10.0
    assert stay.highest_watts is not None
    assert stay.highest_watts / Bench(seed=1).budget_watts == pytest.approx(stay.highest_load)
    first = found.differences[0]
    assert (first.field, first.recorded, first.replayed) == ("level", "Normal", "LowShallow")
    assert lines[first.place.line] in mine or first.place.line <= len(mine)
    assert len(found.differences) <= MOST_LISTED


def test_another_policy_is_replayed_from_its_own_start(journal: Callable[..., Path]) -> None:
    found = replay([journal()], document=STATIC)
    assert {levels.replayed for levels in found.stays} == {"Static"}
    assert {levels.recorded for levels in found.stays} >= {"Normal", "Brake"}


def relieved() -> list[str]:
    """What a journal has of a service that misses its objective, until it is calm."""
    lines: list[str] = []
    power, state = journal_into(lines), reliefs.State()
    misses = Claim(
        service="prod/chat", node="node-0", priority=100, missed=1.5, gpus=("GPU-0",), capped=True,
        rise_watts=100.0,
    )  # fmt: skip
    keeps = replace(misses, missed=0.5)
    room = reliefs.Room(watts=500.0, bound_watts=900.0, settle_s=2.0)
    for now, claim in ((0.0, misses), (1.0, misses), (2.0, keeps), (90.0, keeps)):
        state = power.relieve((claim,), room, state, now).state
    return lines


def test_reliefs_are_decided_again_too(journal: Callable[..., Path]) -> None:
    lines = relieved()
    assert len(lines) == 2, "it begins and ends"
    found = replay([journal(lines)])
    assert (found.compared, found.is_same) == (2, True)
    other = changed(lines, lambda entry: entry["observation"]["room"].update(watts=850.0), "power/relief")
    found = replay([journal(other)])
    assert found.compared - found.same == 1
    assert {one.field for one in found.differences} >= {"relief.gpus", "state.turns"}


def changed(
    lines: list[str], change: Callable[[dict[str, Any]], None], decider: str = "power/polca"
) -> list[str]:
    """The journal with the first entry of a decider changed."""
    entries = [json.loads(line) for line in lines]
    change(next(entry for entry in entries if entry["decider"] == decider))
    return [json.dumps(entry) for entry in entries]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("decision", "caps", "next_load"), 0.91, "caps.next_load"),
        (("decision", "caps", "low", "clock_mhz"), 1110, "caps.low.clock_mhz"),
        (("decision", "state", "since_s"), 0.0, "state.since_s"),
        (("observation", "row", "load"), 1.5, "caps.brake"),
        (("decision", "caps", "more"), 5, "caps.more"),
    ],
)
def test_one_value_that_differs_is_found_by_its_name(
    journal: Callable[..., Path], lines: list[str], path: tuple[str, ...], value: object, field: str
) -> None:
    def change(entry: dict[str, Any]) -> None:
        *folders, last = path
        place = entry
        for folder in folders:
            place = place[folder]
        place[last] = value

    found = replay([journal(changed(lines, change))])
    assert found.compared - found.same == 1
    assert not found.is_same
    assert field in {one.field for one in found.differences}
    assert {one.place.line for one in found.differences} == {2}


def test_a_document_whose_settings_are_others_is_found_by_the_decisions_and_its_hash(
    journal: Callable[..., Path], lines: list[str]
) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["decision"]["document"]["settings"]["threshold1Percent"] = 60

    found = replay([journal(changed(lines, change, "power/document"))])
    assert found.same < found.compared
    assert list(found.rehashed) == [POLCA.hash]


def test_decisions_by_a_document_that_is_not_there_are_counted_and_not_called_the_same(
    journal: Callable[..., Path], lines: list[str]
) -> None:
    found = replay([journal(line for line in lines if '"power/document"' not in line)])
    assert found.compared == 0
    decided = [json.loads(line)["observation"] for line in lines if '"row":{' in line]
    assert set(found.unknown) == {observation["policy_hash"] for observation in decided}
    assert found.unknown.total() == len(decided)
    assert not found.is_same


def test_lines_that_were_lost_are_noticed_where_the_state_has_moved(
    journal: Callable[..., Path], lines: list[str]
) -> None:
    moved = [index for index, line in enumerate(lines) if '"reason":"moved"' in line]
    assert replay([journal()]).unlinked == 0
    found = replay([journal(line for index, line in enumerate(lines) if index != moved[2])])
    assert found.is_same, "each of the others is decided again by itself"
    assert found.unlinked == 1


def test_times_without_recorded_loads_are_counted(journal: Callable[..., Path], lines: list[str]) -> None:
    sampled = [line for index, line in enumerate(lines) if '"row":{' not in line or index % 20 == 0]
    found: Replay = replay([journal(sampled)], document=POLCA)
    assert found.unseen_s > 0.5 * found.seen_s
