"""
The part of the benchmark of admission that needs vLLM: the engine's interpreter runs it.

    python -m benchmarks.admissions.measurements OPTIONS

OPTIONS are those of `Options`, as JSON. Runs are pieces: a run of the same code and options goes on where
another ended. Progress goes to stderr; the last line of stdout is a document with the rows of
`benchmarks.admission`.
"""

import hashlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.admissions import costs, runs, schedulers
from benchmarks.admissions.comparisons import KNEE
from benchmarks.admissions.runs import Run
from benchmarks.admissions.workloads import WORKLOADS
from benchmarks.resumable import finished
from loadline_policies.models import step_parameters
from loadline_sim.resumable import Piece, code_hash

ROOT: Final = Path(__file__).parents[2]
PROGRESS: Final = ROOT / "build" / "admission"
CODE: Final = (
    "benchmarks/admissions",
    "policies/loadline_policies/kv",
    "policies/loadline_policies/models",
    "workers/loadline_vllm/admission",
)

SEARCHED_SEED: Final = 1000
"""The knee's. No run that is judged has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is run. `judged` arms run at all `loads`, `beside` at the knee alone."""

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    judged: tuple[str, ...] = tuple(arm.name for arm in schedulers.JUDGED)
    beside: tuple[str, ...] = tuple(arm.name for arm in schedulers.BESIDE)
    loads: tuple[float, ...] = (0.8, KNEE, 1.2)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    utilization: float = 0.12
    requests: int | None = None
    steps_timed: int = 60
    jobs: int = 2

    @property
    def blocks(self) -> int:
        return step_parameters.load().kv_tokens(self.utilization) // schedulers.BLOCK_TOKENS


def measured(options: Options) -> dict[str, Any]:
    """All rows."""
    began = time.monotonic()
    found = _pieces(
        {
            f"knee of {workload}": (_knee, (workload, options.blocks, options.requests))
            for workload in options.workloads
        },
        options,
    )
    knees = {row["workload"]: row for row in found.values()}
    rows = _pieces(
        {_name(one): (runs.row, (one,)) for one in _runs(options, knees)},
        options,
    )
    return {
        "inputs": _inputs(options),
        "seeds": list(options.seeds),
        "knees": [knees[workload] for workload in options.workloads],
        "runs": list(rows.values()),
        "costs": costs.measured(steps=options.steps_timed),
        "seconds": time.monotonic() - began,
    }


def _runs(options: Options, knees: Mapping[str, Mapping[str, Any]]) -> list[Run]:
    """Every run that is compared."""
    return [
        Run(
            workload=workload,
            arm=arm,
            rate=load * knees[workload]["rate"],
            seed=seed,
            blocks=options.blocks,
            load=load,
            requests=options.requests,
        )
        for workload in options.workloads
        for load in options.loads
        for arm in (*options.judged, *(options.beside if load == KNEE else ()))
        for seed in options.seeds
    ]


def _name(one: Run) -> str:
    return f"{one.workload} at {one.load:g} × {one.rate / one.load:.3f}/s: {one.arm}, seed {one.seed}"


def _knee(workload: str, blocks: int, requests: int | None) -> Piece:
    return runs.knee(workload, blocks=blocks, seed=SEARCHED_SEED, requests=requests)


def _pieces(pieces: Mapping[str, Any], options: Options) -> dict[str, Piece]:
    """What comes of them, in their order."""
    asked = f"{code_hash(ROOT, CODE)} {options} {step_parameters.load()}"
    file = PROGRESS / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.jsonl"
    found = finished(pieces, file, jobs=options.jobs, said=_said)
    return {name: found[name] for name in pieces}


def _said(name: str, done: int, of: int) -> None:
    print(f"{done:4} of {of}  {name}", file=sys.stderr, flush=True)


def _inputs(options: Options) -> dict[str, Any]:
    model = step_parameters.load()
    return {
        **{name: value for name, value in asdict(options).items() if name not in {"jobs", "seeds"}},
        "model": model.name,
        "kv_tokens": model.kv_tokens(options.utilization),
        "blocks": options.blocks,
        "block_tokens": schedulers.BLOCK_TOKENS,
        "max_num_batched_tokens": schedulers.LIMITS.tokens,
        "max_num_seqs": schedulers.LIMITS.requests,
        "searched_seed": SEARCHED_SEED,
        "most_tokens": {name: WORKLOADS[name].most_tokens for name in options.workloads},
        "requests": {name: options.requests or WORKLOADS[name].requests for name in options.workloads},
        "vllm": schedulers.VLLM,
    }


def main() -> None:
    """Measure, and print one JSON document."""
    logging.getLogger("vllm").setLevel(logging.ERROR)  # it warns of a CPU at each of hundreds of schedulers
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(sys.argv[1]).items()
    }
    print(json.dumps(measured(Options(**given))))


if __name__ == "__main__":
    main()
