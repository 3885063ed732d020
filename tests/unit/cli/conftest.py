"""Runs commands in this process, as a terminal of 80 columns without colours would see them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadline_cli import main

SNAPSHOTS = Path(__file__).parent / "snapshots"
REWRITE = "LOADLINE_REWRITE_SNAPSHOTS"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Loadline = Callable[..., Ended]


@pytest.fixture
def loadline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Loadline:
    """Run `loadline` with some arguments."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Ended:
        code = main.run(list(arguments), "loadline")
        out, err = capsys.readouterr()
        return Ended(int(code), out, err)

    return run


@pytest.fixture
def same_as_before() -> Callable[[str, str], None]:
    """Compare a text with the snapshot of that name; set LOADLINE_REWRITE_SNAPSHOTS to accept a new one."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        if REWRITE in os.environ:
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8")

    return compare
