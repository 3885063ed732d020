"""
`loadline kv train-gates`: reads examples, trains, saves what is needed to go on, and writes the gates.

The training itself is the plugin's; this module turns options into its settings, and errors into hints.
"""

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadline_cli.exits import CommandError, Exit
from loadline_cli.model_folders import check_packages, tokenizer
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_policies.errors import InvalidInput
from loadline_sim.progress import Progress

if TYPE_CHECKING:
    from loadline_vllm.retention.gate_training import GateTraining, Losses

SAVED_EVERY_S: Final = 60.0
SHOWN_STEPS: Final = 20
"""The losses at the end are means over so many steps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a training goes; one that is resumed must have been begun by the same, but for `steps`."""

    steps: int
    batch: int
    length: int
    rate: float
    seed: int


def train(
    model: Path,
    data: Path,
    *,
    kept_tokens: int,
    out: Path,
    plan: Plan,
    restart: bool,
    output: Output,
) -> Exit:
    """Train gates and write them to `out`; CommandError if that isn't possible."""
    check_packages("training")
    from loadline_vllm.retention import gate_examples, gates
    from loadline_vllm.retention.gate_training import GateTraining

    if out.resolve().is_relative_to(model.resolve()):
        raise CommandError(
            f"`--out` is {out}, which an engine would read as weights of the model",
            hint="write the gates outside of the model's folder",
        )
    try:
        fingerprint = gates.fingerprint_of(model)
        text = data.read_bytes()
        begun = {**asdict(plan), "kept_tokens": kept_tokens, "model": fingerprint}
        begun["data"] = hashlib.sha256(text).hexdigest()
        del begun["steps"]
        with progress_bars() as progress:
            progress("reading the examples", 0.0)
            examples = gate_examples.read(
                text.decode("utf-8").split("\n"), length=plan.length, tokens_of=tokenizer(model)
            )
            progress("reading the examples", 1.0)
            training = GateTraining(model, kept_tokens=kept_tokens, rate=plan.rate, seed=plan.seed)
            state = _State(out.with_name(f"{out.name}.state"), begun=begun)
            if not restart:
                state.resume(training)
            batches = islice(
                gate_examples.endless(examples, size=plan.batch, seed=plan.seed), training.steps, plan.steps
            )
            losses = _run(training, batches, plan, state=state, progress=progress)
        notes = {"steps": str(training.steps)}
        gates.write(
            training.gates.layers(), out, fingerprint=fingerprint, kept_tokens=kept_tokens, notes=notes
        )
    except InvalidInput as error:
        raise CommandError(f"`{error.field}` is {error.shown}", hint=error.fix) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{data} isn't UTF-8", hint="write it as UTF-8") from error
    except OSError as error:
        raise CommandError(
            f"can't read or write {error.filename or model}: {error.strerror or error}"
        ) from error
    state.path.unlink(missing_ok=True)
    _show(out, losses, steps=training.steps, output=output)
    return Exit.OK


def _run(
    training: "GateTraining", batches: Any, plan: Plan, *, state: "_State", progress: Progress
) -> list["Losses"]:
    """All steps, and the losses of the last ones. It saves what it needs to go on, also at Ctrl-C."""
    losses: deque[Losses] = deque(maxlen=SHOWN_STEPS)
    saved_s = time.monotonic()
    try:
        for batch in batches:
            losses.append(training.step(batch))
            progress("training the gates", training.steps / plan.steps)
            if time.monotonic() - saved_s >= SAVED_EVERY_S:
                state.save(training)
                saved_s = time.monotonic()
    except KeyboardInterrupt:
        state.save(training)
        aside().print(f"saved after {training.steps} of {plan.steps} steps; the same command goes on there")
        raise
    return list(losses)


@dataclass(frozen=True, slots=True)
class _State:
    """The file from which an interrupted training goes on. `begun` is what must be the same."""

    path: Path
    begun: dict[str, Any]

    def resume(self, training: "GateTraining") -> None:
        """Bring a training to where the file has it, if there is one; CommandError if it is another's."""
        import torch

        if not self.path.exists():
            return
        try:
            found = torch.load(self.path, weights_only=True)
        except Exception as error:  # torch and pickle have their own
            raise CommandError(f"{self.path} can't be read", hint="begin anew with --restart") from error
        if found["begun"] != self.begun:
            raise CommandError(
                f"{self.path} is of a training with other settings or of another model",
                hint="give the same settings as before, or --restart",
            )
        training.resume(found["training"])
        aside().print(f"going on after {training.steps} steps")

    def save(self, training: "GateTraining") -> None:
        """Write the file, whole or not at all."""
        import torch

        fresh = self.path.with_name(f"{self.path.name}.part")
        torch.save({"begun": self.begun, "training": training.state()}, fresh)
        fresh.rename(self.path)


def _show(out: Path, losses: list["Losses"], *, steps: int, output: Output) -> None:
    count = max(1, len(losses))
    means = {
        name: sum(getattr(one, name) for one in losses) / count
        for name in ("distillation", "prediction", "capacity")
    }
    if output is Output.JSON:
        print_json({"file": str(out), "steps": steps, **({} if not losses else means)})
        return
    shown = table("Loss", "Last steps", right=frozenset({"Last steps"}))
    for name, mean in means.items():
        shown.add_row(name, f"{mean:.4f}" if losses else "unknown")
    screen().print(shown)
    screen().print(f"{steps} steps; the gates are in {out}")
