"""`loadline kv analyse` on a real model: the document, the tables, the report, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from loadline_cli import kv_analyses
from loadline_cli.exits import CommandError, Exit
from loadline_cli.kv_analyses import Plan
from loadline_cli.outputs import Output
from loadline_policies.kv.analysis_results import Analysis
from loadline_vllm.kv_analyses.kv_roundings import ROUNDINGS
from loadline_vllm.retention import gates
from loadline_vllm.retention.gates import LayerGate
from loadline_vllm.retention.reductions import REDUCTIONS

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])
TOKENS = 160

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    lines = [
        json.dumps({"ids": [10 + (place * number) % 80 for place in range(TOKENS)]}) for number in (3, 7)
    ]
    path.write_text("\n".join(lines))
    return path


def analyse(
    data: Path | None, *, out: Path | None = None, output: Output = Output.JSON, **changes: Any
) -> Exit:
    options: dict[str, Any] = {
        "random_ids": data is None,
        "sequences": 2,
        "length": TOKENS,
        "kept_tokens": None,
        "buffer_tokens": None,
        "gates": None,
        "context_tokens": None,
        "seed": 0,
    }
    plan = Plan(data=data, **(options | changes))
    return kv_analyses.analyse(MODEL, plan, out=out, open_report=False, output=output)


def document(capsys: pytest.CaptureFixture[str]) -> Analysis:
    return Analysis.model_validate(json.loads(capsys.readouterr().out, parse_constant=pytest.fail))


def test_the_document_has_every_change_measured(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyse(data) == Exit.OK
    found = document(capsys)
    measured = {one.name: one.drift for one in found.choices if one.drift is not None}
    retained = {f"retention, {name}" for name in (*REDUCTIONS, "streaming × int4_per_token_head")}
    assert measured.keys() == set(ROUNDINGS) | retained
    assert {one.judged_tokens for one in measured.values()} == {2 * (TOKENS - 1 - 96)}
    assert measured["auto"].kl_nats < measured["int8_per_token_head"].kl_nats < measured["nvfp4"].kl_nats
    assert (found.kept_tokens, found.buffer_tokens, found.data.judged_from) == (80, 16, 96)
    assert len(found.masses) == 3 * 2
    assert [one.layer for one in found.likenesses] == [1, 2]
    assert not found.data.random_ids


def test_text_is_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text(json.dumps({"text": "the captain sails " * 200}))
    assert analyse(path) == Exit.OK
    assert document(capsys).data.sequences == 2


def test_random_ids_are_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    analyse(None, sequences=1)
    data = document(capsys).data
    assert data.random_ids
    assert data.source == "random ids, seed 0"


def test_gates_are_measured_where_they_are_given(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [
        LayerGate(torch.randn(2, 8, 64), torch.randn(2, 8), torch.randn(2, 8), torch.full((2,), 3.0))
        for _ in range(3)
    ]
    file = tmp_path / "gates.safetensors"
    gates.write(made, file, fingerprint=gates.fingerprint_of(MODEL), kept_tokens=80, notes={})
    analyse(data, gates=file)
    measured = {one.name for one in document(capsys).choices if one.drift is not None}
    assert {"retention, trimkv", "retention, trimkv × int4_per_token_head"} <= measured


def test_a_report_is_written_beside_the_tables(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyse(data, out=tmp_path / "out", output=Output.TABLE)
    assert "Ways to keep a request of 2,048 tokens" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    Analysis.model_validate_json((tmp_path / "out" / "summary.json").read_text())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kept_tokens": 160}, "sequence 1.*160 tokens"),
        ({"kept_tokens": 90}, "--kept-tokens.*90"),
        ({"buffer_tokens": 17}, "--buffer-tokens.*17"),
        ({"gates": Path("missing")}, "--gates"),
    ],
)
def test_what_does_not_fit_is_refused(data: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        analyse(data, **changes)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"ids": [1] * 50}, "sequence 1.*50 tokens"),
        ({"ids": [100_000] * TOKENS}, "sequence 1.*100000"),
        ({"ids": [1] * 3000}, "sequence 1.*3000 tokens"),
        ({"ids": [1] * TOKENS, "judged": [5]}, "sequence 1"),
        ({"text": "too short"}, "--data.*no example"),
        ({}, "line 1"),
    ],
)
def test_data_that_does_not_fit_is_refused(data: Path, line: dict[str, Any], says: str) -> None:
    data.write_text(json.dumps(line))
    with pytest.raises(CommandError, match=says):
        analyse(data)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="missing"):
        analyse(tmp_path / "missing")
