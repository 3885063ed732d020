"""
Whether capacity-aware experts keep what they should, and what that costs.

Random batches of any kind are answered by the product and by a reference in loops, and, where
LOADLINE_CAPACITY_AWARE_MOE names a checkout of the authors' repository, by their code. Then the sort
that keeps the capacities is timed in turns with a router's softmax and top-k. What needs torch runs in the
engine's interpreter (`expert_works`). What redundant experts gain by layer is planned there too, by the
engine's own algorithm on recorded routing (`expert_redundancies`), and the study's caches are replayed here.
Small models then answer in a real engine with the plugin and without, and a layer is timed with the plugin
and without (`expert_plugins`).

    python -m benchmarks.experts [--compared 1000] [--seconds 5] [--pairs 30] [--models mixtral ...]

Writes benchmarks/results/experts.json, unless it was told less than the full run.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import engine_runs, expert_plugins
from benchmarks.expert_plugins import Measured
from benchmarks.result_files import (
    RESULTS,
    Check,
    at_least,
    destination,
    finish,
    holds,
    parser,
    report,
    took,
)
from loadline_sim.experts import routing_files
from loadline_sim.experts.checks import belady_is_best
from loadline_sim.experts.preparations import prepare
from loadline_sim.experts.settings import Settings
from loadline_sim.experts.studies import SHARES

RESULT = RESULTS / "experts.json"
COMPARED, SECONDS, PAIRS = 1_000, 5.0, expert_plugins.LEAST_PAIRS
ORACLES = ("score", "first", "last", "overselect", "device")
"""Strategies that the official code has too."""

MOST_SORT_OVER_TOPK = 0.25
LARGEST = (8_192, 128)
"""Tokens and experts of the shape that is judged; `results` has all."""

LEAST_GAIN = 1.1
JUDGED = (8, 1.0)
"""Ranks, and redundant experts of a layer on each: with 64 experts each rank has 8 and 1 redundant one, as
DeepSeek-V3's have in prefill (source: unverified)."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept."""
    options = parser("benchmarks.experts", __doc__)
    options.add_argument("--compared", type=int, default=COMPARED, help="batches a strategy (%(default)s)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of timing a shape (%(default)s)")
    options.add_argument("--pairs", type=int, default=PAIRS, help="runs of a layer (%(default)s)")
    options.add_argument("--tokens", type=int, nargs="*", default=[], help="of a timed layer (all sizes)")
    options.add_argument("--models", nargs="*", default=[], help="small models to serve (all of them)")
    asked = options.parse_args(arguments)
    enough = asked.compared >= COMPARED and asked.seconds >= SECONDS and asked.pairs >= PAIRS
    whole = enough and not (asked.models or asked.tokens)
    kept = destination(RESULT, writes=whole and not asked.dirty)
    worked = engine_runs.run("benchmarks.expert_works", str(asked.compared), str(asked.seconds))
    plugin = expert_plugins.measured(models=asked.models, pairs=asked.pairs, tokens=asked.tokens)
    return finish(_report(worked, plugin, compared=asked.compared, belady=_belady_is_best()), kept)


def _belady_is_best() -> dict[int, bool]:
    """For each memory of the study's curves, in slots, whether no policy beats Belady's on its example."""
    prepared = prepare(routing_files.example(), Settings())
    experts = prepared.asked.model_experts
    slots = [max(round(share * experts), prepared.asked.layers) for share in SHARES]
    return {count: belady_is_best(prepared.workload, slots=count) for count in slots}


def _report(
    worked: Mapping[str, Any], plugin: Measured, *, compared: int, belady: Mapping[int, bool]
) -> dict[str, Any]:
    agreed, timed = worked["compared"], worked["timed"]
    rows = [{"strategy": strategy, **_flat(found)} for strategy, found in agreed.items()]
    (largest,) = (row for row in timed if (row["tokens"], row["experts"]) == LARGEST)
    return report(
        "experts",
        inputs={"compared": compared, "torch": worked["torch"]},
        seeds=[0],
        results={
            "compared": rows,
            "timed": timed,
            "redundancy": worked["redundancy"],
            "belady_slots": list(belady),
            "engines": [dict(row) for row in plugin.engines],
            "costs": [dict(row) for row in plugin.costs],
        },
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
            holds(
                "belady_is_best",
                value=bool(belady) and all(belady.values()),
                reason="a policy of the study had more hits or fewer loads than Belady's",
            ),
            _gain(worked["redundancy"]),
            *expert_plugins.checks(plugin),
        ],
    )


def _gain(rows: Sequence[Mapping[str, Any]]) -> Check:
    """What redundant experts by layer gain over equally many, at the numbers that are judged."""
    (judged,) = (row for row in rows if (row["ranks"], row["redundant_per_rank"]) == JUDGED)
    best = max(rows, key=lambda row: float(row["gain"]))
    return at_least(
        "marginal_redundancy_gain",
        judged["gain"],
        goal=LEAST_GAIN,
        reason="with equally many in each layer, the fullest ranks have "
        f"{judged['planned_uniform']:.3f} times the mean load on the requests that the plan was made from, "
        f"so no split has more to gain there; that they have {judged['uniform']:.3f} times on others, no "
        "plan foresees. Where memory is scarcer or ranks are more, sharing out gains up to "
        f"{best['gain']:.2f} ({best['ranks']} ranks, {best['redundant_per_rank']:g} a rank and layer)",
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
