"""How benchmarks end: what a check says of its figure, and which status comes of it."""

import json
from pathlib import Path

import pytest

from benchmarks import result_files
from benchmarks.result_files import Check


def ended(path: Path, *checks: Check) -> tuple[int, list[dict[str, object]]]:
    """The status of a report with these checks, and the checks as the file has them."""
    document = result_files.report("test", commit="commit 0", inputs={}, seeds=[], results={}, checks=checks)
    status = result_files.finish(document, path / "result.json")
    return status, json.loads((path / "result.json").read_text("utf-8"))["checks"]


def test_a_figure_within_its_goal_is_kept(tmp_path: Path) -> None:
    kept = (
        result_files.at_most("a", 1.0, goal=1.0, reason="no"),
        result_files.near("b", 9.0, goal=10.0, within=1.0, reason="no"),
    )
    status, checks = ended(tmp_path, *kept, result_files.holds("c", value=True, reason="no"))
    assert status == 0
    assert {check["reason"] for check in checks} == {""}


@pytest.mark.parametrize(
    "check",
    [
        result_files.at_most("a", 1.1, goal=1.0, reason="too much"),
        result_files.above("a", 0.0, goal=0.0, reason="too much"),
        result_files.near("a", 8.9, goal=10.0, within=1.0, reason="too much"),
        result_files.near("a", 11.1, goal=10.0, within=1.0, reason="too much"),
        result_files.holds("a", value=False, reason="too much"),
    ],
)
def test_a_figure_beyond_its_goal_fails_the_run_and_says_why(tmp_path: Path, check: Check) -> None:
    status, (told,) = ended(tmp_path, check)
    assert (status, told["ok"], told["reason"]) == (1, False, "too much")


def test_a_check_without_a_figure_is_not_kept(tmp_path: Path) -> None:
    status, (told,) = ended(tmp_path, result_files.at_most("a", None, goal=1.0, reason="too much"))
    assert (status, told["reason"]) == (1, "there was no figure")


def test_a_report_tells_commit_and_machine_by_itself() -> None:
    document = result_files.report(
        "test", inputs={"n": 1}, seeds=[], results={"a": 1.23456, "b": True}, checks=()
    )
    assert document["commit"]
    assert "cores" in document["machine"]
    assert document["results"] == {"a": 1.2346, "b": True}
