"""The whole demo in virtual time, on the objects that the product runs: what it can measure is kept."""

from pathlib import Path

import pytest

from loadline_sim.demo.demonstrations import run_virtual
from loadline_sim.journals.replays import replay
from loadline_sim.reports.checks import Check
from loadline_sim.reports.findings import found_in

pytestmark = pytest.mark.slow


LINES: list[str] = []


@pytest.fixture(scope="module")
def checks() -> dict[str, Check]:
    recording, run = run_virtual(3, lambda what, share: None, journalled=LINES.append)
    return {check.name: check for check in found_in(recording, run).checks}


@pytest.mark.usefixtures("checks")
def test_its_journal_is_decided_again_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    found = replay([path])
    assert found.is_same, found.differences
    assert found.compared > 1000
    assert len(found.nodes) == 2, "the coordinator was killed"
    assert found.unseen_s < 0.02 * found.seen_s


@pytest.mark.parametrize(
    "name",
    [
        "observe_brakes",
        "observe_stress_trips",
        "enforce_trips",
        "enforce_seconds_above_budget",
        "reaction_p99_s",
        "hp_p50_ratio",
        "hp_p99_ratio",
        "lp_p50_ratio",
        "lp_p99_ratio",
        "limits_left_after_release",
    ],
)
def test_the_promise_holds_in_virtual_time(checks: dict[str, Check], name: str) -> None:
    assert checks[name].ok, checks[name].reason


@pytest.mark.parametrize("name", ["policy_edit_s", "cores_busy", "minutes"])
def test_what_a_virtual_row_cant_measure_is_not_claimed(checks: dict[str, Check], name: str) -> None:
    assert checks[name].ok is None
