"""The domain loop between processes: a coordinator, its members, and the fake GPUs."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadline_agent.hardware.armed_records import ArmedRecordFile, boot_id
from loadline_api.drills import DrillText
from loadline_policies.documents import parse_power
from loadline_policies.power import polca
from loadline_policies.power.rows import Row
from testbed.doubles.rows import LoneRow

SAFE_WATTS = 357.0
"""(3 x 3,500 W / 3 - 500 W) / 8 / 1.05, whole watts down."""


@pytest.fixture
def row(tmp_path: Path) -> Iterator[LoneRow]:
    with LoneRow(tmp_path) as row:
        row.start()
        row.wait(row.enforced)
        yield row


def all_at_most(row: LoneRow, watts: float, nodes: tuple[str, ...] = ()) -> bool:
    return all(limit <= watts for node in nodes or row.nodes for limit in row.limits(node))


@pytest.mark.slow
def test_a_calm_row_is_leased_all_that_it_can_draw(row: LoneRow) -> None:
    row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))
    assert all(row.clocks(node) == [0] * 8 for node in row.nodes)


@pytest.mark.slow
def test_a_row_above_its_budget_is_safe_within_two_seconds_and_comes_back(row: LoneRow) -> None:
    row.draw(390.0)
    assert row.wait(lambda: all_at_most(row, SAFE_WATTS)) < 2.0
    assert row.clocks("node-1") == [288] * 8
    row.draw(200.0)
    row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))


@pytest.mark.slow
def test_a_rise_past_the_trigger_is_reported_out_of_turn(row: LoneRow) -> None:
    row.draw(330.0, "node-1")
    row.wait(lambda: bool(row.metric("node-1", "loadline_power_out_of_turn_reports_total")))
    assert row.metric("node-2", "loadline_power_out_of_turn_reports_total") == 0.0


def test_nodes_are_safe_one_lease_after_their_coordinator_was_killed(row: LoneRow) -> None:
    row.signal("node-0", signal.SIGKILL)
    others = ("node-1", "node-2")
    assert row.wait(lambda: all_at_most(row, SAFE_WATTS, others)) < row.row.lease_s + 1.0
    assert min(row.limits("node-0")) >= 399.0, "nobody could lower it: its guard isn't there"


@pytest.mark.slow
@pytest.mark.parametrize("code", [2, 3, 999], ids=["invalid argument", "not supported", "unknown"])
def test_the_others_give_for_a_node_whose_setters_fail(row: LoneRow, code: int) -> None:
    for gpu in range(8):
        row.board.fail(1, gpu, writes=code)
    row.draw(390.0)
    held_watts = 399.0  # at least: some may have been taken a step from, to prove their setters
    share = ((3 * 3500.0 - 500.0 - 1.05 * 8 * held_watts) / 2 - 500.0) / 8 / 1.05
    row.wait(lambda: all_at_most(row, share, ("node-0", "node-2")))
    assert min(row.limits("node-1")) >= held_watts
    for gpu in range(8):
        row.board.heal(1, gpu)
    row.wait(lambda: all_at_most(row, SAFE_WATTS, ("node-1",)))


@pytest.mark.slow
def test_a_successor_is_obeyed_and_counts_the_silent_node(row: LoneRow) -> None:
    row.signal("node-0", signal.SIGKILL)
    row.tell(holder="node-1", transitions=2)
    leads = "loadline_power_leading"
    row.wait(lambda: row.metric("node-1", leads) == 1.0)
    silent = 'loadline_power_domain_silent_nodes{domain="row"}'
    row.wait(lambda: row.metric("node-1", silent) == 1.0)
    watts = 'loadline_power_domain_watts{domain="row"}'
    known = 2 * (500.0 + 8 * 200.0)
    row.wait(lambda: (row.metric("node-1", watts) or 0.0) >= known + 500.0 + 1.05 * 8 * 400.0)


@pytest.mark.slow
def test_a_coordinator_that_cannot_renew_goes_on_until_a_member_is_missing(row: LoneRow) -> None:
    row.tell(renews=False)
    armed_at = row.metric("node-1", 'loadline_power_exchanges_total{outcome="leased"}') or 0.0
    leased = 'loadline_power_exchanges_total{outcome="leased"}'
    row.wait(lambda: (row.metric("node-1", leased) or 0.0) > armed_at + 14.0)
    assert row.limits("node-1") == [400.0] * 8, "14 exchanges, 0.4 s apart or more, are past raise_within_s"
    row.signal("node-2", signal.SIGKILL)
    row.wait(lambda: all_at_most(row, SAFE_WATTS, ("node-0", "node-1")))


@pytest.mark.slow
def test_a_drill_puts_every_gpu_at_its_safe_limit_and_gives_it_back_by_itself(row: LoneRow) -> None:
    free = [400.0] * 8
    row.wait(lambda: all(row.limits(node) == free for node in row.nodes))
    level = 'loadline_power_domain_level{domain="row",level="Drill"'
    row.tell(drill=str(DrillText(datetime.now(UTC), seconds=5)))
    assert row.wait(lambda: all_at_most(row, SAFE_WATTS)) < 3.0
    assert level in row.ask("node-0", "/metrics")
    assert 2.0 < row.wait(lambda: all(row.limits(node) == free for node in row.nodes)) < 8.0
    assert level not in row.ask("node-0", "/metrics")


@pytest.mark.slow
def test_a_drill_is_not_repeated_by_a_successor(row: LoneRow) -> None:
    row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))
    row.tell(drill=str(DrillText(datetime.now(UTC), seconds=30)))
    row.wait(lambda: all_at_most(row, SAFE_WATTS))
    row.signal("node-0", signal.SIGTERM)
    row.tell(holder="node-1", transitions=2)
    row.wait(lambda: row.metric("node-1", "loadline_power_leading") == 1.0)
    row.start(("node-0",))
    row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes), within_s=20.0)


@pytest.mark.slow
def test_release_gives_back_what_was_found_and_disarms(tmp_path: Path) -> None:
    with LoneRow(tmp_path) as row:
        for node in range(3):
            row.board.write_as_other(node, 0, watts=300.0)
        row.start()
        row.wait(row.enforced)
        row.wait(lambda: all(row.limits(node) == [300.0] + [400.0] * 7 for node in row.nodes))
        row.draw(390.0)
        row.wait(lambda: all_at_most(row, SAFE_WATTS))
        row.draw(200.0)
        row.tell(enforce=False)
        row.wait(lambda: not any(row.metric(node, "loadline_power_armed") for node in row.nodes))
        row.wait(lambda: all(row.limits(node) == [300.0] + [400.0] * 7 for node in row.nodes))


def domains(row: LoneRow) -> set[str]:
    records = (ArmedRecordFile(str(row.state(node)), boot_id()).read() for node in row.nodes)
    return {record.domain if record.armed else "" for record in records}


@pytest.mark.slow
def test_a_row_whose_domain_is_gone_is_taken_over_as_it_is_by_the_one_that_selects_it(row: LoneRow) -> None:
    row.draw(390.0)
    row.wait(lambda: all_at_most(row, SAFE_WATTS))
    row.tell(name="row-b", transitions=2)
    refused = 'loadline_power_report_refusals_total{reason="NotAMember"}'
    row.wait(lambda: (row.metric("node-0", refused) or 0.0) > 6.0)
    assert domains(row) == {"row"}, "as long as its own may only be out of sight"
    assert all_at_most(row, SAFE_WATTS)
    row.tell(gone="row")
    row.wait(lambda: domains(row) == {"row-b"})
    assert all_at_most(row, SAFE_WATTS), "it still draws more than its budget bears"
    row.draw(200.0)
    row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))


@pytest.mark.slow
def test_observe_writes_nothing(tmp_path: Path) -> None:
    with LoneRow(tmp_path, enforce=False) as row:
        row.start()
        leased = 'loadline_power_exchanges_total{outcome="leased"}'
        row.wait(lambda: all((row.metric(node, leased) or 0.0) >= 2.0 for node in row.nodes))
        row.draw(390.0)
        level = "loadline_power_domain_level"
        row.wait(lambda: f'{level}{{domain="row",level="Brake"' in row.ask("node-0", "/metrics"))
        assert not row.board.writes().any()


@pytest.mark.slow
def test_the_journal_replays_the_policys_decisions(row: LoneRow) -> None:
    row.draw(390.0)
    row.wait(lambda: all_at_most(row, SAFE_WATTS))
    entries = [json.loads(line) for line in row.ask("node-0", "/v1/journal").splitlines()]
    decided = [entry for entry in entries if entry["decider"] == "power/polca"]
    config, state = parse_power(row.row.policy).config, polca.State()
    assert isinstance(config, polca.Config)
    assert any(entry["decision"]["caps"]["brake"] for entry in decided)
    for entry in decided:
        seen = entry["observation"]
        decision = polca.decide(Row(**seen["row"]), state, config, seen["now_s"])
        state = decision.state
        assert decision.actions.level == entry["decision"]["caps"]["level"]
        assert state.level == entry["decision"]["state"]["level"]
