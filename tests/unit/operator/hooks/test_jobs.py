"""A hook that fails says why in words that only show, since a person reads them in a terminal."""

import argparse

import pytest

from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed


async def do(api: Api, options: argparse.Namespace) -> None:
    """Nothing."""


def test_what_others_have_said_does_nothing_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise HookFailed("service says \x1b[2J\x9b31m\nand more 🚀")

    monkeypatch.setattr(jobs, "_run", fail)
    assert jobs.run(do, argparse.Namespace()) == 1
    assert capsys.readouterr().err == "error: service says \\x1b[2J\\x9b31m\nand more 🚀\n"
