"""
Whether capacity-aware experts keep what they should, and what that costs.

Random batches of any kind are answered by the product and by a reference in loops, and, where
LOADLINE_CAPACITY_AWARE_MOE names a checkout of the authors' repository, by their code. Then the sort
that keeps the capacities is timed in turns with a router's softmax and top-k. What needs torch runs in the
engine's interpreter (`expert_works`). Checks of the plugin in an engine, of overheads and of the study
are not measured yet, and say so.

    python -m benchmarks.experts [--compared 1000] [--seconds 5]

Writes benchmarks/results/experts.json, unless it was told less than the full run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.result_files import RESULTS, Check, destination, finish, holds, parser, report, took
from testbed.engines import venvs

RESULT = RESULTS / "experts.json"
COMPARED, SECONDS = 1_000, 5.0
ORACLES = ("score", "first", "last", "overselect", "device")
"""Strategies that the official code has too."""

PATHS = (".", "policies", "workers")
MOST_SORT_OVER_TOPK = 0.25
LARGEST = (8_192, 128)
"""Tokens and experts of the shape that is judged; `results` has all."""

NOT_MEASURED = {
    "gamma_inf_tokens_equal": "= true",
    "counters_equal_recomputed": "= true",
    "recompilations_on_change": "= 0",
    "observe_overhead": "<= 0.01",
    "drop_overhead": "<= 0.02",
    "belady_is_best": "= true",
    "marginal_redundancy_gain": ">= 1.1",
}
"""Goals of checks that this benchmark hasn't yet."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept."""
    options = parser("benchmarks.experts", __doc__)
    options.add_argument("--compared", type=int, default=COMPARED, help="batches a strategy (%(default)s)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of timing a shape (%(default)s)")
    asked = options.parse_args(arguments)
    whole = asked.compared >= COMPARED and asked.seconds >= SECONDS
    kept = destination(RESULT, writes=whole and not asked.dirty)
    return finish(_report(_worked(asked.compared, asked.seconds), asked.compared), kept)


def _worked(compared: int, seconds: float) -> dict[str, Any]:
    """What `expert_works` measures in the engine's interpreter."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        (venvs.ensure().python, "-m", "benchmarks.expert_works", str(compared), str(seconds)),
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(root / path) for path in PATHS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    worked: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return worked


def _report(worked: Mapping[str, Any], compared: int) -> dict[str, Any]:
    agreed, timed = worked["compared"], worked["timed"]
    rows = [{"strategy": strategy, **_flat(found)} for strategy, found in agreed.items()]
    (largest,) = (row for row in timed if (row["tokens"], row["experts"]) == LARGEST)
    return report(
        "experts",
        inputs={"compared": compared, "torch": worked["torch"]},
        seeds=[0],
        results={"compared": rows, "timed": timed},
        checks=[
            holds(
                "oracle_equal",
                value=all(_agrees(agreed[strategy], compared, "equal") for strategy in ORACLES),
                reason="a strategy keeps other pairs than an oracle, or too few batches were comparable",
            ),
            holds(
                "max_load_within_capacity",
                value=all(_agrees(found, compared, "within") for found in agreed.values()),
                reason="an expert or a device got more pairs than its capacity",
            ),
            took(
                "one_key_sort_over_topk",
                largest["kept_over_router_upper"],
                goal=MOST_SORT_OVER_TOPK,
                reason=f"in the median the ratio is {largest['kept_over_router']:.2f}",
            ),
            *(
                Check(name=name, value=None, goal=goal, ok=False, reason="not measured")
                for name, goal in NOT_MEASURED.items()
            ),
        ],
    )


def _agrees(found: Mapping[str, Any], compared: int, figure: str) -> bool:
    """Whether all batches agree with each oracle that there is, and as many were compared as asked for."""
    return all(
        found[oracle]["compared"] >= compared and found[oracle][figure] == found[oracle]["compared"]
        for oracle in ("reference", "official")
        if oracle in found
    )


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a table: `reference_equal` and so on."""
    row: dict[str, Any] = {}
    for oracle, counts in found.items():
        row |= (
            {f"{oracle}_{name}": count for name, count in counts.items()}
            if isinstance(counts, dict)
            else {oracle: counts}
        )
    return row


if __name__ == "__main__":
    sys.exit(main())
