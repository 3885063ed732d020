"""
Which commit a result is of, known before anything is measured.

A figure is worth as much as the code that a reader can check out for it. So a benchmark asks
here first: a checkout with changes that no commit holds is refused, before hours of measuring
end in figures of code that nobody can find again. Files that git ignores don't count, nor do the
result files themselves, since several benchmarks run one after another and each leaves its own.

Every result file names its commit in one form: the first ten hexadecimal digits of its hash.
"""

import argparse
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_CODE = ":(exclude)benchmarks/results"
DIGITS = 10
MOST_NAMED = 5
"""Files of a refusal; the rest is counted."""


NAMED_HELP = "commit that is measured, where there is no git checkout to ask"


class Uncommitted(Exception):
    """No commit holds what would be measured. The text is one sentence, `hint` what to do about it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def of_checkout(root: Path = ROOT) -> str:
    """The commit of the checkout at `root`; raises Uncommitted where files differ from it."""
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        changed = _changed_files(root)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        raise Uncommitted(
            f"git names no commit of {root}: {told.strip()}",
            hint="run it in a git checkout, name the commit by `--commit` where it has that, or measure"
            " without writing by `--dirty`",
        ) from error
    if changed:
        raise Uncommitted(
            f"the checkout has changes that no commit holds: {_listed(changed)}",
            hint="commit them, or put them aside with `git stash --include-untracked`; `--dirty` measures"
            " them and writes nothing",
        )
    return commit[:DIGITS]


def named(text: str) -> str:
    """The commit that `--commit` names, in the form of result files; for argparse."""
    if re.fullmatch(r"[0-9a-f]{10,64}", text) is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no hash of a commit: give its first {DIGITS} digits")
    return text[:DIGITS]


def _changed_files(root: Path) -> list[str]:
    told = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", NOT_CODE)
    return [entry[3:] for entry in told.split("\0") if entry]


def _listed(files: list[str]) -> str:
    rest = len(files) - MOST_NAMED
    return ", ".join(files[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
