"""Runs commands in this process, as a terminal of 80 columns without colours would see them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from loadline_cli import main


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
