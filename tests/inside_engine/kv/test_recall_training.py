"""A training moves through its stages, goes on where it stopped, and writes a model that loads as it was."""

from pathlib import Path

import pytest
import torch

from testbed.kv import recall_models, recall_training
from testbed.kv.recall_curricula import STAGES
from testbed.kv.recall_models import RecallModel
from testbed.kv.recall_training import LEAST_STEPS, WARM_UP_STEPS, Progress, Training


def losses(training: Training, steps: int) -> list[float]:
    return [training.step() for _ in range(steps)]


def test_the_loss_falls() -> None:
    first, *_, last = losses(Training(0), 8)
    assert last < first - 0.3


def test_a_training_that_is_resumed_goes_on_as_if_it_had_not_stopped() -> None:
    whole = losses(Training(0), 4)
    begun = Training(0)
    before = losses(begun, 2)
    resumed = Training(1)
    resumed.resume(begun.state())
    assert before + losses(resumed, 2) == pytest.approx(whole)
    assert resumed.progress.steps == 4


def test_a_stage_ends_when_all_its_shapes_are_learnt() -> None:
    progress = Progress()
    for step in range(LEAST_STEPS - 1):
        progress.add(step % 2, 1.0)
    assert progress.stage == 0
    progress.add(1, 1.0)
    assert (progress.stage, progress.stage_steps, progress.steps) == (1, 0, LEAST_STEPS)
    for step in range(LEAST_STEPS):
        progress.add(step % 2, step % 2)
    assert progress.stage == 1


def test_the_last_stage_ends_after_its_steps_and_its_rate_has_fallen_by_then() -> None:
    stage = STAGES[-1]
    progress = Progress(stage=len(STAGES) - 1, stage_steps=stage.steps - 1, steps=5000)
    assert progress.rate() == pytest.approx(1 / stage.steps)
    progress.add(0, 1.0)
    assert progress.done


def test_the_rate_warms_up() -> None:
    assert Progress().rate() == 1 / WARM_UP_STEPS
    assert Progress(stage=1, steps=WARM_UP_STEPS).rate() == 1.0


def test_an_interrupted_training_is_saved_and_the_same_command_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_training, "SAVED_EVERY_S", 0.0)
    step, begun_with = Training.step, []

    def few_steps(training: Training) -> float:
        begun_with.append(training.progress.steps)
        if begun_with == [0, 1, 2]:
            raise KeyboardInterrupt
        if len(begun_with) == 6:
            training.progress.stage = len(STAGES) - 1
            training.progress.stage_steps = STAGES[-1].steps - 1
        return step(training)

    monkeypatch.setattr(Training, "step", few_steps)
    with pytest.raises(KeyboardInterrupt):
        recall_training.train(tmp_path, seed=0)
    recall_training.train(tmp_path, seed=0)
    assert begun_with == [0, 1, 2, 2, 3, 4]
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_a_model_is_loaded_as_it_was_but_for_half_precision(tmp_path: Path) -> None:
    model = RecallModel().drawn(3)
    recall_models.save(model, tmp_path)
    loaded = recall_models.load(tmp_path)
    assert loaded.directory == tmp_path
    for name, weight in model.named_weights().items():
        assert loaded.named_weights()[name].equal(weight.detach().half().float())


def test_attention_that_is_guided_is_the_layers_own() -> None:
    """`log_attention` is written out; the layer uses torch's kernel."""
    model = RecallModel().drawn(0)
    states, seen = torch.randn(2, 9, recall_models.HIDDEN), torch.arange(9)
    hidden = torch.zeros(2, 9, 9, dtype=torch.bool)
    hidden[0, 5:, 1] = True
    shares = model.log_attention(0, states, seen=seen, hidden=hidden).exp()
    _, values = model.keys_values(0, states, seen)
    mixed = shares @ recall_models.for_each_head(values)
    assert shares[0, :, 5:, 1].eq(0).all()
    assert torch.allclose(
        model.after_attention(0, states, mixed),
        model.layer(0, states, seen=seen, hidden=hidden),
        atol=1e-5,
    )
