"""One agent and its guard as processes: what happens at stop, exit, restart and to strangers' limits."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.doubles.rows import LoneRow

NODE = "node-0"
SAFE_WATTS = 357.0
LEASED = 'loadline_power_exchanges_total{outcome="leased"}'


@pytest.fixture
def row(tmp_path: Path) -> Iterator[LoneRow]:
    with LoneRow(tmp_path, count=1) as row:
        row.guard(NODE)
        row.start()
        row.wait(row.enforced)
        row.wait(lambda: row.metric(NODE, "loadline_power_lease_seconds") is not None)
        yield row


def safe(row: LoneRow) -> bool:
    return all(limit <= SAFE_WATTS for limit in row.limits(NODE))


@pytest.mark.slow
def test_a_stopped_agent_is_guarded_and_its_guards_act_is_no_conflict(row: LoneRow) -> None:
    row.signal(NODE, signal.SIGSTOP)
    assert row.wait(lambda: safe(row)) < row.row.lease_s + 1.5
    row.signal(NODE, signal.SIGCONT)
    row.wait(lambda: row.limits(NODE) == [400.0] * 8)
    row.wait(lambda: row.metric(NODE, "loadline_power_guard_interventions") == 8.0)
    assert row.metric(NODE, "loadline_power_guard_errors") == 0.0
    before = row.metric(NODE, LEASED) or 0.0
    row.wait(lambda: (row.metric(NODE, LEASED) or 0.0) > before + 3)
    assert row.metric(NODE, "loadline_power_armed") == 1.0
    assert row.limits(NODE) == [400.0] * 8


@pytest.mark.slow
def test_a_guard_that_works_seems_never_to_hang_while_nobody_leads(row: LoneRow) -> None:
    row.tell(holder="")
    row.wait(lambda: safe(row))
    ages: list[float] = []
    end_s = time.monotonic() + 12.0
    while time.monotonic() < end_s:
        ages.append(row.metric(NODE, "loadline_power_guard_age_seconds") or 0.0)
        time.sleep(0.1)
    assert max(ages) < 3.0
    assert row.metric(NODE, "loadline_power_armed") == 1.0


@pytest.mark.slow
def test_an_agent_that_ends_steps_down_and_leaves_the_record_armed(row: LoneRow) -> None:
    row.signal(NODE, signal.SIGTERM)
    assert row.agents[NODE].wait(10) == 0
    assert safe(row)
    row.start()
    row.wait(lambda: row.limits(NODE) == [400.0] * 8)


@pytest.mark.slow
def test_a_killed_agents_successor_falls_at_the_old_deadline_if_it_is_not_heard(row: LoneRow) -> None:
    row.guards[NODE].kill()
    row.tell(holder="")
    row.signal(NODE, signal.SIGKILL)
    row.start()
    assert row.wait(lambda: safe(row)) < row.row.lease_s + 4.0


@pytest.mark.slow
def test_a_stranger_disarms_nobody_and_its_gpu_is_held_at_safe(row: LoneRow) -> None:
    before = row.metric(NODE, LEASED) or 0.0

    def leased() -> bool:
        row.board.write_as_other(0, 3, watts=390.0)
        return (row.metric(NODE, LEASED) or 0.0) > before + 8

    row.wait(leased)
    row.wait(lambda: row.limits(NODE)[3] <= SAFE_WATTS)
    assert row.metric(NODE, "loadline_power_armed") == 1.0
    assert row.limits(NODE)[:3] == [400.0] * 3


@pytest.mark.slow
def test_without_the_right_to_set_the_node_only_observes(tmp_path: Path) -> None:
    with LoneRow(tmp_path, count=1) as row:
        row.board.allow_writes(0, False)
        row.start()
        errors = 'loadline_power_limit_errors_total{error="NoPermission"}'
        row.draw(395.0)
        row.wait(lambda: (row.metric(NODE, errors) or 0.0) >= 1.0)
        row.wait(lambda: row.metric(NODE, "loadline_power_armed") == 0.0)
        assert row.limits(NODE) == [400.0] * 8


def test_release_by_hand_gives_back_what_was_found_where_no_agent_runs(row: LoneRow) -> None:
    row.signal(NODE, signal.SIGTERM)
    assert row.agents[NODE].wait(10) == 0
    done = row.release(NODE)
    assert (done.returncode, done.stdout) == (0, "released\n"), done.stderr
    assert row.wait(lambda: row.limits(NODE) == [400.0] * 8) < 2.0
    assert row.release(NODE).stdout.startswith("nothing to release")


@pytest.mark.slow
def test_release_by_hand_is_refused_beside_an_agent_unless_it_is_to_be_now(row: LoneRow) -> None:
    done = row.release(NODE)
    assert done.returncode == 1
    assert "an agent runs with it" in done.stderr
    assert "or add --now" in done.stderr
    assert row.metric(NODE, "loadline_power_armed") == 1.0


def test_release_now_asks_for_no_headroom_and_a_domain_that_observes_leaves_it_so(row: LoneRow) -> None:
    row.draw(395.0)
    row.wait(lambda: max(row.limits(NODE)) <= SAFE_WATTS)
    row.tell(enforce=False)
    row.board.fail(0, 5, writes=999)
    done = row.release(NODE, "--now")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "released"), done.stderr
    uuid = row.board.uuids(0)[5]
    assert f"LeftBehind: {uuid}: in force" in done.stderr
    assert "found 400 W" in done.stderr
    assert row.metric(NODE, "loadline_power_armed") == 0.0
    row.wait(lambda: row.limits(NODE)[:5] == [400.0] * 5)
    assert row.metric(NODE, "loadline_power_left_behind_gpus") == 1.0
    leased = row.metric(NODE, LEASED) or 0.0
    row.wait(lambda: (row.metric(NODE, LEASED) or 0.0) > leased + 3.0)
    assert row.metric(NODE, "loadline_power_armed") == 0.0
    assert row.release(NODE, "--now").stdout.startswith("nothing to release")


@pytest.mark.slow
def test_a_domain_that_enforces_arms_a_node_again_that_was_released_now(row: LoneRow) -> None:
    done = row.release(NODE, "--now")
    assert done.returncode == 0, done.stderr
    assert "PowerDomain row arms it again" in done.stdout
    row.wait(lambda: row.metric(NODE, "loadline_power_armed") == 1.0)


@pytest.mark.slow
def test_health_readiness_and_metrics_are_told(row: LoneRow) -> None:
    assert row.ask(NODE, "/healthz") == "alive\n"
    assert row.ask(NODE, "/readyz") == "ready\n"
    assert row.metric(NODE, 'loadline_power_lease_refusals_total{reason="OldEpoch"}') == 0.0
