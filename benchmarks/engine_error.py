"""
How far the simulator is off a real engine that it was fitted on once, under loads that it hasn't seen.

Stock vLLM runs on one core of this machine, with a small model of random weights. One recording gives the
times of its steps; the simulator then tells six other loads, of two mixes, and each is compared with what
the engine did. One load is recorded twice: the engine's own difference bounds what a simulator can be asked
for.

    python -m benchmarks.engine_error

Recordings are kept in build/engine-error, so that a run goes on where another ended; `--afresh` makes all
of them anew. Some 15 minutes. Writes benchmarks/results/engine-error.json.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.engine_errors import comparisons, fitted_models, recordings
from benchmarks.engine_errors.comparisons import Errors
from benchmarks.engine_errors.fitted_models import FittedModel
from benchmarks.engine_errors.loads import FITTED, MIXES, REPEATED, REQUESTS, TESTED, Load
from benchmarks.engine_errors.recordings import Recording
from benchmarks.result_files import RESULTS, Check, at_most, destination, finish, parser, report

RESULT: Final = RESULTS / "engine-error.json"
KEPT: Final = Path("build", "engine-error")
AGAIN: Final = f"{REPEATED.name}-again"

LATENCIES: Final[Mapping[str, float]] = {"e2e": 0.06, "ttft": 0.10, "itl": 0.10}
"""The error that is asked for; 1.5 times the engine's own difference where that is more."""


def main() -> int:
    """Record, fit, compare, print, write; 1 if a goal was missed."""
    asked = arguments()
    kept = destination(RESULT, writes=not asked.dirty)
    console = Console(stderr=True)
    if asked.afresh:
        shutil.rmtree(KEPT, ignore_errors=True)
    made = recorded(console)
    model = fitted_models.fit(made[FITTED.name], FITTED)
    seen = {name: comparisons.figures_of(one) for name, one in made.items()}
    told = {
        one.name: comparisons.figures_told(fitted_models.simulated(one.trace(), model))
        for one in (FITTED, *TESTED)
    }
    off = {one.name: comparisons.errors(told[one.name], seen[one.name]) for one in TESTED}
    repeat = comparisons.errors(seen[AGAIN], seen[REPEATED.name])
    console.print(_table(seen, told))
    return finish(_report(model, seen=seen, told=told, off=off, repeat=repeat), kept)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    options = parser("benchmarks.engine_error", __doc__)
    options.add_argument("--afresh", action="store_true", help="make all recordings anew")
    return options.parse_args()


def recorded(console: Console) -> dict[str, Recording]:
    """Every recording by its name, made where it isn't there yet."""
    loads: dict[str, Load] = {one.name: one for one in (FITTED, *TESTED)} | {AGAIN: REPEATED}
    missing = [name for name in loads if not _path(name).exists()]
    with ExitStack() as stack:
        if missing:
            os.sched_setaffinity(0, os.sched_getaffinity(0) - {int(recordings.CORE)} or {0})
            with console.status("starting the engine"):
                server, log = stack.enter_context(recordings.engine())
        for place, name in enumerate(missing, 1):
            seconds = loads[name].trace().arrival_s[-1]
            with console.status(f"{place} of {len(missing)}: {name}, {seconds:.0f} s"):
                recordings.save(recordings.record(server, log, loads[name]), _path(name))
            console.print(f"{place} of {len(missing)}: {name} is recorded")
    return {name: recordings.load(_path(name)) for name in loads}


def _path(name: str) -> Path:
    return KEPT / f"{name}.jsonl.gz"


def _table(seen: Mapping[str, Mapping[str, float]], told: Mapping[str, Mapping[str, float]]) -> Table:
    """Milliseconds of the engine, and of the simulator."""
    table = Table("load", *seen[FITTED.name], title="milliseconds: engine, simulator")
    for name, figures in told.items():
        cells = [f"{seen[name][one] * 1e3:.0f}, {figures[one] * 1e3:.0f}" for one in figures]
        table.add_row(f"{name} (fitted on)" if name == FITTED.name else name, *cells)
    return table


def _report(
    model: FittedModel,
    *,
    seen: Mapping[str, Mapping[str, float]],
    told: Mapping[str, Mapping[str, float]],
    off: Mapping[str, Errors],
    repeat: Errors,
) -> dict[str, Any]:
    steps = model.steps
    return report(
        "engine-error",
        inputs={
            "engine": "vLLM 0.32 on one core, 8 layers of 512, random weights",
            "requests": REQUESTS,
            "mixes": {name: vars_of(mix) for name, mix in MIXES.items()},
            "loads": {one.name: {"mix": one.mix, "per_s": one.per_s} for one in (FITTED, *TESTED)},
        },
        seeds=[one.seed for one in (FITTED, *TESTED)],
        results={
            "repeat_error": {name: comparisons.worst(repeat, name) for name in LATENCIES},
            "step_error": model.step_error,
            "between_steps_ms": model.between_s * 1e3,
            "front_end_ms": model.front_end_s * 1e3,
            "step_ms": {
                "base": steps.base_s * 1e3,
                "decode": steps.decode_s * 1e3,
                "context_token": steps.context_s * 1e3,
                "prompt_token": steps.prefill_s * 1e3,
                "pair": steps.pair_s * 1e3,
            },
            "errors": {name: dict(one) for name, one in off.items()},
            "engine_s": {name: dict(one) for name, one in seen.items()},
            "simulator_s": {name: dict(one) for name, one in told.items()},
        },
        checks=tuple(_check(name, goal, off=off, repeat=repeat) for name, goal in LATENCIES.items()),
    )


def _check(name: str, goal: float, *, off: Mapping[str, Errors], repeat: Errors) -> Check:
    """The worst error of a latency over all loads."""
    of_loads = {load: comparisons.worst(one, name) for load, one in off.items()}
    most = max(of_loads, key=of_loads.__getitem__)
    reason = f"{most} is {of_loads[most]:.1%} off"
    bound = max(goal, 1.5 * comparisons.worst(repeat, name))
    return at_most(f"{name}_error", of_loads[most], goal=round(bound, 4), reason=reason)


def vars_of(mix: Any) -> dict[str, float]:
    """A mix as plain numbers."""
    return {"prompt_median": mix.prompt, "output_median": mix.output, "spread": mix.spread}


if __name__ == "__main__":
    sys.exit(main())
