"""A checkout of one commit, in which a benchmark's code may be changed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SETTINGS = ("-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false")


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *SETTINGS, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one committed module, nothing changed, and `build/` ignored."""
    root = tmp_path / "checkout"
    (root / "benchmarks" / "results").mkdir(parents=True)
    (root / "benchmarks" / "agent.py").write_text("SECONDS = 60\n")
    (root / ".gitignore").write_text("/build/\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Begin")
    return root


@pytest.fixture
def commit_changes(checkout: Path) -> Callable[[], None]:
    """Make a commit of all that was changed in the checkout."""
    return lambda: git(checkout, "commit", "--quiet", "--all", "--message", "Change")
