"""`loadline kv train-gates` trains on a real model, goes on where it stopped, and names what is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from loadline_cli import gate_trainings
from loadline_cli.exits import CommandError, Exit
from loadline_cli.gate_trainings import Plan
from loadline_cli.outputs import Output
from loadline_vllm.retention import gates
from loadline_vllm.retention.gate_training import GateTraining

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])
PLAN = Plan(steps=6, batch=2, length=32, rate=0.01, seed=0)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    lines = [
        json.dumps({"ids": [10 + (place * number) % 80 for place in range(32)]}) for number in range(1, 9)
    ]
    path.write_text("\n".join(lines))
    return path


def train(data: Path, out: Path, **changes: Any) -> Exit:
    options: dict[str, Any] = {"kept_tokens": 8, "plan": PLAN, "restart": False, "output": Output.JSON}
    return gate_trainings.train(MODEL, data, out=out, **(options | changes))


def test_it_writes_gates_of_the_model(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gates.safetensors"
    assert train(data, out) == Exit.OK
    assert len(gates.load(out, fingerprint=gates.fingerprint_of(MODEL))) == 3
    assert json.loads(capsys.readouterr().out)["steps"] == PLAN.steps
    assert not out.with_name("gates.safetensors.state").exists()


def test_an_interrupted_training_goes_on_to_the_same_gates(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(data, whole)
    step = GateTraining.step
    with monkeypatch.context() as patched:

        def interrupted(training: GateTraining, batch: Any) -> Any:
            if training.steps == 3:
                raise KeyboardInterrupt
            return step(training, batch)

        patched.setattr(GateTraining, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(data, parts)
    assert not parts.exists()
    with pytest.raises(CommandError, match="other settings"):
        train(data, parts, kept_tokens=16)
    train(data, parts)
    fingerprint = gates.fingerprint_of(MODEL)
    for one, other in zip(
        gates.load(whole, fingerprint=fingerprint), gates.load(parts, fingerprint=fingerprint), strict=True
    ):
        assert all(first.equal(second) for first, second in zip(one.parts, other.parts, strict=True))


@pytest.mark.parametrize("wrong", ["no file", "no example", "no model"])
def test_what_is_wrong_is_named(data: Path, tmp_path: Path, wrong: str) -> None:
    out = tmp_path / "gates"
    match wrong:
        case "no file":
            with pytest.raises(CommandError, match="missing"):
                train(tmp_path / "missing", out)
        case "no example":
            data.write_text("{}")
            with pytest.raises(CommandError, match="line 1"):
                train(data, out)
        case "no model":
            with pytest.raises(CommandError, match="model"):
                gate_trainings.train(
                    tmp_path, data, kept_tokens=8, out=out, plan=PLAN, restart=False, output=Output.JSON
                )


@pytest.mark.parametrize("below", ["", "gates"])
def test_gates_are_not_written_among_the_weights_that_they_are_bound_to(
    data: Path, tmp_path: Path, below: str
) -> None:
    """There an engine takes them for weights of the model, whose fingerprint they change."""
    model = tmp_path / "model"
    model.symlink_to(MODEL)
    folder = MODEL / below
    with pytest.raises(CommandError, match="`--out` is") as refused:
        train(data, (model / below if below else model) / "gates.safetensors")
    assert "outside of the model's folder" in str(refused.value.hint)
    assert not (folder / "gates.safetensors").exists()
