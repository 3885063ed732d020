"""
What admission by predicted memory changes for the requests of an engine, without a GPU.

vLLM's own scheduler is stepped in simulated time: a model that was fitted to an H200's published step times
says how long each step takes, tokens are made up, and requests end where the recorded or drawn ones did. The
pool of KV blocks is small enough for vLLM to preempt. Compared over the same requests: vLLM as it is, vLLM
with a watermark of 3 %, Loadline's choice of victims without admission, and Loadline's admission with each
estimator of lengths, one of which knows the future.

Each workload has a knee: the lowest rate at which vLLM with the watermark meets the objectives for fewer than
90 % of requests. It is looked for with one seed; five others are judged at 0.8, 1 and 1.2 times that rate.
Goodput is the output tokens a second of requests that met the objectives. What a decision costs is timed on
this machine, beside what vLLM's schedule() takes.

    python -m benchmarks.admission             about 15 minutes on two idle cores; writes the result
    python -m benchmarks.admission --quick     one workload, few requests; the figures mean nothing
    python -m benchmarks.admission --jobs 1    leave a core to others

A run of the same code goes on where another ended (build/admission). The rows of each run have its TTFT,
longest gap between two tokens and time to the last token; docs/results.md explains the checks.

Writes benchmarks/results/admission.json.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import engine_runs
from benchmarks.admissions import comparisons
from benchmarks.admissions.comparisons import Cell
from benchmarks.result_files import (
    RESULTS,
    Check,
    at_least,
    at_most,
    destination,
    finish,
    parser,
    report,
    took,
)

RESULT = RESULTS / "admission.json"
QUICK = {
    "workloads": ["bimodal"],
    "beside": [],
    "loads": [1.0],
    "seeds": [0],
    "requests": 200,
    "utilization": 0.08,
    "steps_timed": 10,
}

STOCK, WATERMARK, OURS, VICTIM = "stock", "watermark", "history", "victim alone"

MOST_PREEMPTED = 0.05
LEAST_OVER_STOCK, LEAST_OVER_WATERMARK, LEAST_AT_ANY_LOAD = 1.1, 1.3, 0.99
MOST_DECISION_US = 200.0

Row = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept."""
    options = parser("benchmarks.admission", __doc__)
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    options.add_argument("--quick", action="store_true", help="try it in a minute; writes nothing")
    asked = options.parse_args(arguments)
    kept = destination(RESULT, writes=not (asked.quick or asked.dirty))
    what = {"jobs": asked.jobs, **(QUICK if asked.quick else {})}
    return finish(_report(engine_runs.run("benchmarks.admissions.measurements", json.dumps(what))), kept)


def _report(measured: Row) -> dict[str, Any]:
    cells = comparisons.cells(measured["runs"])
    victim, _ = comparisons.worst_ratio(cells, "recomputed_tokens", ours=VICTIM, theirs=STOCK)
    return report(
        "admission",
        inputs=measured["inputs"],
        seeds=measured["seeds"],
        results={
            "arms": comparisons.table(cells, stock=STOCK),
            "knees": list(measured["knees"]),
            "over": _over(cells),
            "recomputed_ratio_victim_alone": victim,
            "p99_ttlt_ratio": _ttlt(cells),
            "costs": measured["costs"],
            "seconds": measured["seconds"],
        },
        checks=[*_memory(cells), *_goodputs(cells), _cost(measured["costs"])],
    )


def _memory(cells: Sequence[Cell]) -> list[Check]:
    """What is preempted and computed again, of what vLLM preempts and computes again."""
    checks = []
    for name, figure in (("preemptions_ratio", "preemptions"), ("recomputed_ratio", "recomputed_tokens")):
        worst, where = comparisons.worst_ratio(cells, figure, ours=OURS, theirs=STOCK)
        checks.append(at_most(name, worst, goal=MOST_PREEMPTED, reason=f"the most: {where}"))
    return checks


def _goodputs(cells: Sequence[Cell]) -> list[Check]:
    checks = [
        at_least(
            f"{cell.workload}: goodput_over_{theirs}_at_knee",
            comparisons.value(cell.over(OURS, theirs)),
            goal=goal,
            reason=_most(cell, theirs),
        )
        for cell in comparisons.at_knee(cells)
        for theirs, goal in ((STOCK, LEAST_OVER_STOCK), (WATERMARK, LEAST_OVER_WATERMARK))
    ]
    low, where = comparisons.lowest_interval(cells, ours=OURS, theirs=STOCK)
    return [
        *checks,
        at_least("goodput_ci_low_worst_load", low, goal=LEAST_AT_ANY_LOAD, reason=f"the lowest: {where}"),
    ]


def _most(cell: Cell, theirs: str) -> str:
    """What binds: were each request served within its objectives, it would be no more than this."""
    share = cell.total(theirs, "goodput") / cell.total(theirs, "offered")
    return f"{theirs} serves {share:.1%} of the offered tokens in time, so at most {1 / max(share, 1e-9):.2f}"


def _over(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The ratios of goodputs with their intervals, of each workload and load."""
    return [
        {"workload": cell.workload, "load": cell.load, "over": theirs, **asdict(found)}
        for cell in cells
        for theirs in (STOCK, WATERMARK)
        if (found := cell.over(OURS, theirs)) is not None
    ]


def _ttlt(cells: Sequence[Cell]) -> float | None:
    """The largest ratio of the times to the last token, P99, to vLLM's at the knee."""
    found = [
        each.value for cell in comparisons.at_knee(cells) if (each := cell.over(OURS, STOCK, "ttlt_p99_s"))
    ]
    return max(found, default=None)


def _cost(costs: Row) -> Check:
    return took(
        "decision_us",
        costs["decision_us"],
        goal=MOST_DECISION_US,
        reason=f"vLLM's schedule() takes {costs['schedule_us_stock']:.0f} µs at {costs['requests']} requests",
    )


if __name__ == "__main__":
    sys.exit(main())
