"""Training lowers the retained mass towards the budget, can be resumed, and leaves the model as it was."""

import os
import random
from pathlib import Path

import pytest
import torch

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention.gate_examples import Example
from loadline_vllm.retention.gate_training import GateTraining

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])
KEPT = 4

pytestmark = pytest.mark.filterwarnings("ignore")


def examples(count: int, *, tokens: int = 48) -> list[Example]:
    seeded = random.Random(0)
    return [Example(tuple(seeded.randrange(10, 100) for _ in range(tokens))) for _ in range(count)]


def trained(steps: int, *, training: GateTraining | None = None) -> tuple[GateTraining, list[float]]:
    training = training or GateTraining(MODEL, kept_tokens=KEPT, rate=0.02, seed=0)
    return training, [training.step(examples(4)).capacity for _ in range(steps)]


def test_training_lowers_the_retained_mass_and_nothing_else() -> None:
    training, capacities = trained(60)
    assert capacities[-1] < 0.7 * capacities[0]
    assert not any(one.requires_grad for one in training._model.parameters())


def test_gates_that_forget_nothing_change_no_prediction() -> None:
    training = GateTraining(MODEL, kept_tokens=KEPT, rate=0.0, seed=0)
    with torch.no_grad():
        training.gates.outward_bias.fill_(60.0)
    assert training.step(examples(2)).distillation == pytest.approx(0.0, abs=1e-4)


def test_a_training_that_is_resumed_goes_on_as_if_it_had_not_stopped() -> None:
    _, whole = trained(6)
    first, before = trained(3)
    second = GateTraining(MODEL, kept_tokens=KEPT, rate=0.02, seed=1)
    second.resume(first.state())
    _, after = trained(3, training=second)
    assert before + after == pytest.approx(whole)
    assert second.steps == 6


def test_only_judged_positions_count() -> None:
    training = GateTraining(MODEL, kept_tokens=KEPT, rate=0.0, seed=0)
    (one,) = examples(1)
    every = training.step([one]).prediction
    last = training.step([Example(one.ids, judged=(46,))]).prediction
    assert every != last


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["Nothing"]}')
    with pytest.raises((InvalidInput, OSError)):
        GateTraining(tmp_path, kept_tokens=KEPT, rate=0.02, seed=0)
