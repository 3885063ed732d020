"""A benchmark knows its commit before it measures, and isn't started where no commit holds its code."""

import argparse
import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import commits
from benchmarks.commits import Uncommitted

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def refusal(root: Path) -> Uncommitted:
    with pytest.raises(Uncommitted) as caught:
        commits.of_checkout(root)
    return caught.value


def head(root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_is_the_first_ten_digits_of_the_hash(checkout: Path) -> None:
    assert commits.of_checkout(checkout) == head(checkout)[:10]


def test_a_changed_file_is_refused_by_its_name_and_with_the_fix(checkout: Path) -> None:
    (checkout / "benchmarks" / "agent.py").write_text("SECONDS = 6\n")
    found = refusal(checkout)
    assert str(found) == "the checkout has changes that no commit holds: benchmarks/agent.py"
    assert found.hint.startswith("commit them, or put them aside with `git stash --include-untracked`")


def test_a_deleted_staged_or_new_file_is_refused_too(checkout: Path) -> None:
    (checkout / "benchmarks" / "agent.py").unlink()
    (checkout / "a new module.py").write_text("")
    assert str(refusal(checkout)).endswith(": benchmarks/agent.py, a new module.py")
    subprocess.run(["git", "-C", str(checkout), "add", "--all"], check=True)
    assert str(refusal(checkout)).endswith(": a new module.py, benchmarks/agent.py")


def test_of_many_files_five_are_named_and_the_rest_counted(checkout: Path) -> None:
    for number in range(8):
        (checkout / f"m{number}.py").write_text("")
    assert str(refusal(checkout)).endswith(": m0.py, m1.py, m2.py, m3.py, m4.py and 3 more")


def test_results_of_other_benchmarks_and_ignored_files_are_no_change(checkout: Path) -> None:
    (checkout / "benchmarks" / "results" / "wire.json").write_text("{}")
    (checkout / "build").mkdir()
    (checkout / "build" / "agent.log").write_text("")
    assert commits.of_checkout(checkout) == head(checkout)[:10]


def test_where_there_is_no_checkout_nothing_is_named(tmp_path: Path) -> None:
    found = refusal(tmp_path)
    assert str(found).startswith(f"git names no commit of {tmp_path}: ")
    assert "--dirty" in found.hint


@pytest.mark.parametrize("given", ["8e8bdad1be", "8e8bdad1be" + "0" * 30])
def test_a_commit_named_by_hand_gets_the_same_form(given: str) -> None:
    assert commits.named(given) == "8e8bdad1be"


@pytest.mark.parametrize("given", ["8e8bdad", "commit 8e8bdad1be", "8e8bdad1be-dirty", "main"])
def test_what_is_no_hash_names_no_commit(given: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no hash of a commit"):
        commits.named(given)


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.name)
def test_every_result_file_names_its_commit_in_one_form(file: Path) -> None:
    commit = json.loads(file.read_text("utf-8"))["commit"]
    assert re.fullmatch(r"[0-9a-f]{10}", commit), f"{file.name}: {commit}"
