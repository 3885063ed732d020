"""
What placing experts, and bounding them, changes in the steps of expert-parallel ranks, without a GPU.

Recorded tokens are exchanged between ranks by gloo, and each rank computes its experts' matrix products on
one core. Two ranks are timed directly; a run in which another process came onto a rank's core is refused
and counted. Four and eight ranks would need as many cores: there each rank's own work is timed while the
others wait, and a step is *composed* of the slowest rank's work and the measured exchange. How far that is
from a step of as many cores is not known, and no error is claimed; exchanges of ranks that share cores take
longer than others.

Five ways of serving are compared: experts in order; placed by EPLB; placed with redundant experts, shared out
to the layers; in order with a capacity; and placed with redundant experts and a capacity by replica. Then two
ranks compute a grid of batches, experts and capacities. A model of the step's time is fitted to one half of
these points, and judged on the other.

    python -m benchmarks.experts_ep             about 6 minutes on two idle cores; writes the result
    python -m benchmarks.experts_ep --short     two ranks, small layers, one run each; writes nothing

Writes benchmarks/results/experts-ep.json. Other work on the machine makes runs unusable: leave it idle.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from benchmarks import engine_runs
from benchmarks.expert_parallel.step_models import Point, StepModel, fitted
from benchmarks.result_files import RESULTS, Check, at_most, destination, finish, parser, report, took

RESULT = RESULTS / "experts-ep.json"
RUNS = 5
SHORT = {"ranks": [2], "hidden": 64, "intermediate": 64, "tokens": 256, "grid_tokens": [64, 128], "runs": 1}

MOST_ERROR = 0.10
MOST_DROPPED = 0.34
JUDGED_RANKS = 2
"""Of `dropped_after_placement_ratio`. Each has half of the batch; with more ranks a part has fewer tokens,
is less like others, and more is dropped of it, as the table of arms shows."""

LEAST_POINTS = 0.9
"""The share of the grid's points that must have a time, for the model's error to be known."""

TIMED_DIRECTLY = 2
"""Ranks that have a core each."""

Row = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept."""
    options = parser("benchmarks.experts_ep", __doc__)
    options.add_argument("--runs", type=int, default=RUNS, help="clean runs of each step (%(default)s)")
    options.add_argument("--short", action="store_true", help="try it in a minute; the figures mean nothing")
    asked = options.parse_args(arguments)
    kept = destination(RESULT, writes=asked.runs >= RUNS and not (asked.short or asked.dirty))
    what = SHORT if asked.short else {"runs": asked.runs}
    return finish(_report(engine_runs.run("benchmarks.expert_parallel.steps", json.dumps(what))), kept)


def _report(measured: Row) -> dict[str, Any]:
    arms = _arms(measured["arms"])
    fit, judged = _halves(measured["grid"])
    model = fitted(fit) if len(fit) >= 3 else None
    errors = model.errors(judged) if model else []
    known = bool(errors) and len(fit) + len(judged) >= LEAST_POINTS * len(measured["grid"])
    rows = [*measured["arms"], *measured["grid"]]
    return report(
        "experts-ep",
        inputs={**measured["inputs"], "judged_ranks": JUDGED_RANKS, "timed_directly": TIMED_DIRECTLY},
        seeds=measured["seeds"],
        results={
            "arms": arms,
            "drift": measured["drifts"],
            "model": _model_row(model, fitted_to=len(fit), judged=len(judged), errors=errors),
            "grid": [dict(row) for row in measured["grid"]],
            "runs_used": sum(row["clean"] for row in rows),
            "runs_refused": sum(row["refused"] for row in rows),
        },
        checks=[
            took(
                "model_error",
                sum(errors) / len(errors) if known else None,
                goal=MOST_ERROR,
                reason=f"the largest error of {len(errors)} points is {max(errors, default=0.0):.2f}",
            ),
            _dropped(arms),
        ],
    )


def _arms(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each number of ranks and arm, over all layers, which run one after the other."""

    def key(row: Row) -> tuple[int, str]:
        return row["ranks"], row["arm"]

    order = list(dict.fromkeys(map(key, rows)))
    by_arm = groupby(sorted(rows, key=lambda row: order.index(key(row))), key=key)
    return [_arm(ranks, name, list(layers)) for (ranks, name), layers in by_arm]


def _arm(ranks: int, name: str, layers: Sequence[Row]) -> dict[str, Any]:
    computed = sum(row["offered"] - row["dropped"] for row in layers)
    direct = ranks <= TIMED_DIRECTLY
    return {
        "ranks": ranks,
        "arm": name,
        "step_ms": _milliseconds(layers, "step_s" if direct else "composed_s"),
        "timed": "directly" if direct else "composed",
        "composed_ms": _milliseconds(layers, "composed_s"),
        "redundant": sum(row["redundant"] for row in layers),
        "fullest_over_mean": ranks * sum(row["rank_most"] for row in layers) / computed,
        "dropped": sum(row["dropped"] for row in layers) / sum(row["offered"] for row in layers),
    }


def _milliseconds(layers: Sequence[Row], name: str) -> float | None:
    """The sum over layers; None where one has no figure."""
    seconds = [row[name] for row in layers]
    return None if None in seconds else 1000 * sum(seconds)


def _halves(grid: Sequence[Row]) -> tuple[list[Point], list[Point]]:
    """Every second point, so that each half has all numbers of tokens and experts, and each γ."""
    points = [
        Point(rank_most=row["rank_most"], crossing_most=row["crossing_most"], step_s=row["step_s"])
        if row["step_s"]
        else None
        for row in grid
    ]
    return [one for one in points[::2] if one], [one for one in points[1::2] if one]


def _model_row(
    model: StepModel | None, *, fitted_to: int, judged: int, errors: Sequence[float]
) -> dict[str, Any]:
    """The model in microseconds, as its figures are small."""
    return {
        "fixed_us": model and 1e6 * model.fixed_s,
        "pair_us": model and 1e6 * model.pair_s,
        "row_us": model and 1e6 * model.row_s,
        "points_fitted": fitted_to,
        "points_judged": judged,
        "largest_error": max(errors, default=None),
    }


def _dropped(arms: Sequence[Row]) -> Check:
    """The pairs dropped where experts are placed first, of those that the same γ drops without."""
    found = {row["arm"]: row["dropped"] for row in arms if row["ranks"] == JUDGED_RANKS}
    alone, both = found.get("capacity"), found.get("both")
    return at_most(
        "dropped_after_placement_ratio",
        both / alone if alone and both is not None else None,
        goal=MOST_DROPPED,
        reason=f"of the pairs, {alone} are dropped in order and {both} after placement",
    )


if __name__ == "__main__":
    sys.exit(main())
