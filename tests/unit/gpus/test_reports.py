"""How the GPU commands end: what a check says of its figure, and which status comes of it."""

import json
from pathlib import Path

import pytest

from hack.gpus import reports
from hack.gpus.errors import Unmeasured
from hack.gpus.reports import Check
from loadline_policies.errors import HardwareError


def ended(path: Path, *checks: Check) -> tuple[int, list[dict[str, object]]]:
    """The status of a report with these checks, and the checks as the file has them."""
    document = reports.report(
        "gpu-test", commit="commit 0", machine="none", inputs={}, seeds=[], results={}, checks=checks
    )
    status = reports.finish(document, path / "result.json")
    return status, json.loads((path / "result.json").read_text("utf-8"))["checks"]


def test_a_figure_within_its_goal_is_kept(tmp_path: Path) -> None:
    kept = (reports.at_most("a", 1.0, 1.0, "no"), reports.near("b", 9.0, 10.0, 1.0, "no"))
    status, checks = ended(tmp_path, *kept, reports.holds("c", True, "no"))
    assert status == 0
    assert {check["reason"] for check in checks} == {""}


@pytest.mark.parametrize(
    "check",
    [
        reports.at_most("a", 1.1, 1.0, "too much"),
        reports.near("a", 8.9, 10.0, 1.0, "too much"),
        reports.near("a", 11.1, 10.0, 1.0, "too much"),
        reports.holds("a", False, "too much"),
    ],
)
def test_a_figure_beyond_its_goal_fails_the_run_and_says_why(tmp_path: Path, check: Check) -> None:
    status, (told,) = ended(tmp_path, check)
    assert (status, told["ok"], told["reason"]) == (1, False, "too much")


def test_a_check_without_a_figure_is_not_kept(tmp_path: Path) -> None:
    status, (told,) = ended(tmp_path, reports.at_most("a", None, 1.0, "too much"))
    assert (status, told["reason"]) == (1, "the readings gave no figure")


@pytest.mark.parametrize("error", [Unmeasured("no torch"), HardwareError("no driver")])
def test_without_a_gpu_there_is_a_sentence_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure() -> int:
        raise error

    assert reports.refusing(measure) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert str(error) in said.err
