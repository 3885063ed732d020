"""
Trains the model of the recall tasks: `python -m testbed.kv.recall_training DIRECTORY`.

It takes one core some ten minutes; the study that the task is from took two cores forty. What makes it fast,
beside prompts that grow (`recall_curricula`): each prompt is asked many times, and the last layer is computed
for the queries alone; matrices are stepped by Muon, all else by AdamW; and at first a second loss draws
attention to where it should be, at the key before a fact's value and at the value that is asked for. Without
that loss the model guesses among the values for long before it begins to look one up.

A training that was interrupted goes on where the same command saved it last.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from testbed.kv import recall_models
from testbed.kv.recall_curricula import STAGES, hidden_keys
from testbed.kv.recall_models import HEADS, KV_HEADS, RecallModel
from testbed.kv.recall_sequences import Batch, drawn

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WARM_UP_STEPS: Final = 50
LEAST_STEPS: Final = 40
"""A stage's accuracy means nothing before."""
MEMORY: Final = 0.9
"""Accuracies are means of the last ten steps of a shape, about."""
SAVED_EVERY_S: Final = 60.0
SHOWN_EVERY_STEPS: Final = 25


@dataclass
class Progress:
    """How far a training is: the number of its stage, the steps in it and in all, its accuracies by shape."""

    stage: int = 0
    stage_steps: int = 0
    steps: int = 0
    accuracies: dict[int, float] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.stage == len(STAGES)

    def add(self, shape: int, accuracy: float) -> None:
        """Count a step, and go to the next stage if this was the last one of its stage."""
        stage = STAGES[self.stage]
        before = self.accuracies.get(shape, accuracy)
        self.accuracies[shape] = MEMORY * before + (1 - MEMORY) * accuracy
        self.steps += 1
        self.stage_steps += 1
        known = len(self.accuracies) == len(stage.shapes) and self.stage_steps >= LEAST_STEPS
        if self.stage_steps >= stage.steps or (known and min(self.accuracies.values()) >= stage.accuracy):
            self.stage, self.stage_steps, self.accuracies = self.stage + 1, 0, {}

    def rate(self) -> float:
        """The share of the full rates."""
        stage = STAGES[self.stage]
        left = 1 - self.stage_steps / stage.steps if stage.fades else 1.0
        return min(left, (self.steps + 1) / WARM_UP_STEPS)


class Training:
    """A model and what changes it."""

    def __init__(self, seed: int) -> None:
        self.model = RecallModel().drawn(seed)
        self.progress = Progress()
        self._generator = np.random.default_rng(seed)
        weights = self.model.named_weights()
        matrices = [name for name, weight in weights.items() if weight.dim() == 2 and ".layers." in name]
        others = [weight for name, weight in weights.items() if name not in matrices]
        self._optimizers = (
            torch.optim.Muon([weights[name] for name in matrices], lr=MATRIX_RATE, weight_decay=0.01),
            torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self) -> float:
        """One step; its loss."""
        stage = STAGES[self.progress.stage]
        shape = int(self._generator.integers(len(stage.shapes)))
        batch = drawn(self._generator, stage.sequences, stage.shapes[shape])
        hidden = hidden_keys(self._generator, batch) if stage.hides else None
        logits, guided = self._forward(batch, hidden=None if hidden is None else torch.from_numpy(hidden))
        answers = torch.from_numpy(batch.ids[:, 1:][batch.judged[:, :-1]])
        loss = nn.functional.cross_entropy(logits, answers)
        self._change(loss + stage.guided * guided, rate=self.progress.rate())
        self.progress.add(shape, (logits.argmax(-1) == answers).float().mean().item())
        return float(loss.detach())

    def _forward(self, batch: Batch, *, hidden: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of all answers, and the loss of where attention is."""
        ids = torch.from_numpy(batch.ids)
        at = torch.from_numpy(batch.judged[0].nonzero()[0])
        if not STAGES[self.progress.stage].guided:
            return self.model.logits(ids, at, hidden).flatten(0, 1), torch.zeros(())
        rows, places = torch.arange(len(ids))[:, None], torch.from_numpy(batch.places)
        asked = places.gather(1, torch.from_numpy(batch.asked_facts))
        every = torch.arange(ids.shape[1])
        states = self.model.weight("model.embed_tokens")[ids]
        first = self.model.log_attention(0, states, seen=every, hidden=hidden)[:, : HEADS // KV_HEADS]
        to_keys = first[rows, :, places + 2, places + 1]
        states = self.model.layer(0, states, seen=every, hidden=hidden)
        second = self.model.log_attention(1, states, seen=at, hidden=hidden)
        to_values = second[rows, :, torch.arange(len(at)), asked + 2]
        logits = self.model.predicted(self.model.layer(1, states, seen=at, hidden=hidden))
        return logits.flatten(0, 1), -to_keys.mean() - to_values.mean()

    def _change(self, loss: torch.Tensor, *, rate: float) -> None:
        for optimizer, full in zip(self._optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = full * rate
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()

    def state(self) -> dict[str, Any]:
        """What is needed to go on later."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "generator": self._generator.bit_generator.state,
            "progress": vars(self.progress),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        for optimizer, found in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        self._generator.bit_generator.state = state["generator"]
        self.progress = Progress(**state["progress"])


def train(directory: Path, *, seed: int) -> None:
    """Train to the end, save what is needed to go on, and write the model at last."""
    training, saved = Training(seed), directory / f"training-{seed}.state"
    directory.mkdir(parents=True, exist_ok=True)
    if saved.exists():
        training.resume(torch.load(saved, weights_only=True))
    saved_s = time.monotonic()
    while not training.progress.done:
        loss = training.step()
        if training.progress.steps % SHOWN_EVERY_STEPS == 0:
            _show(training.progress, loss)
        if time.monotonic() - saved_s > SAVED_EVERY_S:
            torch.save(training.state(), saved.with_suffix(".part"))
            saved.with_suffix(".part").rename(saved)
            saved_s = time.monotonic()
    recall_models.save(training.model, directory)
    saved.unlink(missing_ok=True)


def _show(progress: Progress, loss: float) -> None:
    accuracies = " ".join(f"{shape}:{share:.3f}" for shape, share in sorted(progress.accuracies.items()))
    print(
        f"step {progress.steps} stage {progress.stage}.{progress.stage_steps} loss {loss:.3f} {accuracies} "
        f"cpu {time.process_time():.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the model is written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train(options.directory, seed=options.seed)


if __name__ == "__main__":
    main()
