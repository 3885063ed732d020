"""How benchmarks begin and end: what is refused, what a check says of its figure, and the status."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import commits, result_files
from benchmarks.commits import Uncommitted
from benchmarks.result_files import Check, Destination

FOLDER = Path(result_files.__file__).parent
WRITERS = [
    f"benchmarks.{'.'.join(path.relative_to(FOLDER).with_suffix('').parts)}"
    for path in sorted(FOLDER.rglob("*.py"))
    if "RESULTS / " in path.read_text("utf-8")
]
"""Every module that writes a result file, by the name that it is run by."""


def ended(path: Path, *checks: Check) -> tuple[int, list[dict[str, object]]]:
    """The status of a report with these checks, and the checks as the file has them."""
    document = result_files.report("test", inputs={}, seeds=[], results={}, checks=checks)
    file = path / "result.json"
    status = result_files.finish(document, Destination(path=file, commit="0123456789", root=None))
    return status, json.loads(file.read_text("utf-8"))["checks"]


def measured() -> dict[str, Any]:
    return result_files.report("test", inputs={}, seeds=[], results={}, checks=())


def destination(checkout: Path, **given: str) -> Destination:
    """That of a full run in this checkout."""
    path = checkout / "benchmarks" / "results" / "test.json"
    found = result_files.destination(path, writes=True, root=checkout, **given)
    assert found is not None
    return found


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


def test_a_report_names_its_machine_and_rounds_its_figures() -> None:
    document = result_files.report(
        "test", inputs={"n": 1}, seeds=[], results={"a": 1.23456, "b": True}, checks=()
    )
    assert "cores" in document["machine"]
    assert document["results"].pop("load_average_1m") >= 0.0
    assert document["results"] == {"a": 1.2346, "b": True}


def test_a_result_file_names_the_commit_at_which_the_run_began(checkout: Path) -> None:
    kept = destination(checkout)
    assert result_files.finish(measured(), kept) == 0
    assert json.loads(kept.path.read_text())["commit"] == commits.of_checkout(checkout)


def test_a_changed_checkout_ends_the_run_before_it_measures(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "benchmarks" / "agent.py").write_text("SECONDS = 6\n")
    with pytest.raises(SystemExit, match="2"):
        destination(checkout)
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: the checkout has changes that no commit holds: benchmarks/agent.py"
    assert "`--dirty` measures them and writes nothing" in hint


def test_a_run_that_writes_nothing_may_measure_any_checkout(checkout: Path) -> None:
    (checkout / "benchmarks" / "agent.py").write_text("SECONDS = 6\n")
    path = checkout / "benchmarks" / "results" / "test.json"
    kept = result_files.destination(path, writes=False, root=checkout)
    assert result_files.finish(measured(), kept) == 0
    assert not path.exists()


def test_figures_of_a_checkout_that_changed_meanwhile_are_kept_aside(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = destination(checkout)
    (checkout / "benchmarks" / "agent.py").write_text("SECONDS = 6\n")
    assert result_files.finish(measured(), kept) == 2
    assert not kept.path.exists()
    assert (checkout / "build" / "results" / "test.json").exists()
    assert "while this was measured: the checkout has changes" in capsys.readouterr().err


def test_figures_over_which_another_commit_came_are_kept_aside(
    checkout: Path, commit_changes: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = destination(checkout)
    (checkout / "benchmarks" / "agent.py").write_text("SECONDS = 6\n")
    commit_changes()
    assert result_files.finish(measured(), kept) == 2
    assert f"the checkout was at {kept.commit} when this began" in capsys.readouterr().err


def test_a_commit_named_by_hand_counts_only_where_no_checkout_can_be_asked(
    checkout: Path, tmp_path: Path
) -> None:
    assert destination(checkout, commit="0123456789").commit == commits.of_checkout(checkout)
    copy = result_files.destination(tmp_path / "a.json", writes=True, commit="0123456789", root=tmp_path)
    assert copy == Destination(path=tmp_path / "a.json", commit="0123456789", root=None)


def test_a_timing_that_misses_its_goal_is_reported_with_the_load_and_fails_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (check,) = ended(tmp_path, result_files.took("fan_out_s", 2.0, goal=0.6, reason="later"))
    assert status == 0
    assert (check["ok"], check["timing"], check["reason"]) == (False, True, "later")
    assert "a timing, at a load of " in capsys.readouterr().out


def test_a_broken_promise_fails_the_run_beside_any_timing(tmp_path: Path) -> None:
    broken = result_files.none("trips", 1, reason="a breaker tripped")
    status, _ = ended(tmp_path, broken, result_files.took("fan_out_s", 0.1, goal=0.6, reason="later"))
    assert status == 1


@pytest.mark.parametrize("name", WRITERS)
def test_every_benchmark_refuses_a_changed_checkout_before_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def changed(root: Path) -> str:
        raise Uncommitted("the checkout has changes", hint="commit them")

    monkeypatch.setattr(commits, "of_checkout", changed)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(name).main()
    assert capsys.readouterr().err == "error: the checkout has changes\nhint: commit them\n"


@pytest.mark.parametrize("name", WRITERS)
def test_every_benchmark_may_measure_a_changed_checkout_where_it_writes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(name).main()
    assert "--dirty" in capsys.readouterr().out
