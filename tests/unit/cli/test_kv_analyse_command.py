"""`loadline kv analyse` before a model runs, and its tables; the rest is tested inside the engine."""

from pathlib import Path
from typing import Any

import pytest

from loadline_cli import kv_analysis_tables
from loadline_cli.exits import Exit
from testbed import small_analyses


@pytest.mark.parametrize("options", [(), ("--data", "prompts.jsonl", "--random-ids")])
def test_it_needs_data_or_random_ids(tmp_path: Path, loadline: Any, options: tuple[str, ...]) -> None:
    ended = loadline("kv", "analyse", str(tmp_path), *options)
    assert (ended.code, ended.out) == (Exit.COULD_NOT_RUN, "")
    assert ended.err.startswith("error: `--data` or `--random-ids` is needed, and only one of them\nhint: ")


def test_without_torch_it_says_what_to_install(tmp_path: Path, loadline: Any) -> None:
    ended = loadline("kv", "analyse", str(tmp_path), "--random-ids")
    assert (ended.code, ended.out) == (Exit.COULD_NOT_RUN, "")
    assert ended.err.startswith("error: the analysis needs the Python package `torch`, which isn't installed")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    kv_analysis_tables.show(small_analyses.analysis(random_ids=True))
    return capsys.readouterr().out


def test_the_tables(printed: str, same_as_before: Any) -> None:
    same_as_before("kv-analyse", printed)


def test_random_ids_are_said(printed: str) -> None:
    assert "Ids are random: what was measured says nothing about a service" in printed
