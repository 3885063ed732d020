"""
The part of the experts' benchmark that needs torch: the engine's interpreter runs it, and it prints JSON.

    python -m benchmarks.expert_works COMPARED SECONDS

`compared` counts, for each strategy, the batches on which the product keeps what an oracle keeps.
`timed` has, for each shape of a layer, what keeping the capacities takes beside a router's softmax and
top-k, in turns (ABAB): one thread's time on the processor, which a busy machine changes least.
`redundancy` has what redundant experts by layer gain on recorded routing (`expert_redundancies`).
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import expert_redundancies
from benchmarks.medians import upper_end
from loadline_sim.experts import routing_files
from loadline_vllm.expert_layers.eplb_plans import planned
from loadline_vllm.experts import positions
from testbed.experts import comparisons
from testbed.experts.comparisons import Comparison
from testbed.experts.official import NotThere

SHAPES = ((2_048, 64), (2_048, 128), (8_192, 64), (8_192, 128))
"""Tokens and experts."""

TOP_K = 8
LEAST_PAIRS = 30
TRIES = 20
"""How many batches are drawn for each that must be comparable, at most."""


def compared(count: int) -> dict[str, Any]:
    """For each strategy, how many of `count` batches agree with the reference, and with the official code."""
    found: dict[str, Any] = {}
    for strategy in comparisons.STRATEGIES:
        found[strategy] = {"reference": _agreeing(comparisons.with_reference, strategy, count)}
        print(f"{strategy}: {found[strategy]}", file=sys.stderr)
    for strategy in comparisons.OFFICIAL:
        try:
            found[strategy]["official"] = _agreeing(comparisons.with_official, strategy, count)
        except NotThere as missing:
            found[strategy]["official_missing"] = str(missing)
    return found


def _agreeing(compare: Callable[..., Comparison], strategy: str, count: int) -> dict[str, int]:
    """Counts of batches: every second one has ties; those on which the oracle is none are drawn again."""
    counts = {"compared": 0, "equal": 0, "within": 0, "no_oracle": 0}
    for seed in range(TRIES * count):
        comparison = compare(strategy, seed, tied=bool(seed % 2))
        if comparison.equal is None:
            counts["no_oracle"] += 1
            continue
        counts["compared"] += 1
        counts["equal"] += comparison.equal
        counts["within"] += comparison.within
        if counts["compared"] == count:
            break
    return counts


def timed(seconds: float) -> list[dict[str, Any]]:
    """For each shape the median times and their ratio, with the upper end of its 95 % interval."""
    rows = []
    for tokens, experts in SHAPES:
        generator = torch.Generator().manual_seed(tokens + experts)
        logits = torch.randn(tokens, experts, generator=generator) + torch.randn(experts, generator=generator)
        scores = torch.softmax(logits, -1)
        ranked, ids = scores.topk(TOP_K, dim=1)
        keep = partial(
            positions.kept,
            ids,
            ranked,
            offered=torch.ones_like(ids, dtype=torch.bool),
            capacities=torch.full((experts,), 3 * tokens * TOP_K // (2 * experts)),
        )
        row: dict[str, Any] = {"tokens": tokens, "experts": experts, "top_k": TOP_K}
        pairs = _abab(keep, partial(_route, logits), seconds)
        ratios = [kept_s / routed_s for kept_s, routed_s in pairs]
        row |= {
            "pairs": len(pairs),
            "kept_ms": 1000 * statistics.median(kept_s for kept_s, _ in pairs),
            "router_ms": 1000 * statistics.median(routed_s for _, routed_s in pairs),
            "kept_over_router": statistics.median(ratios),
            "kept_over_router_upper": upper_end(ratios),
        }
        rows.append(row)
        print(row, file=sys.stderr)
    return rows


def _route(logits: torch.Tensor) -> None:
    """What a router does first."""
    torch.softmax(logits, -1).topk(TOP_K, dim=1)


def _abab(
    one: Callable[[], object], other: Callable[[], object], seconds: float
) -> list[tuple[float, float]]:
    """Times of both, taken in turns, for `seconds` and LEAST_PAIRS at least."""
    one(), other()
    pairs: list[tuple[float, float]] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or len(pairs) < LEAST_PAIRS:
        pairs.append((seconds_of(one), seconds_of(other)))
    return pairs


def seconds_of(call: Callable[[], object]) -> float:
    began_s = time.thread_time()
    call()
    return time.thread_time() - began_s


def main() -> None:
    """Measure, and print one JSON document."""
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    torch.set_num_threads(1)
    found = {
        "compared": compared(count),
        "timed": timed(seconds),
        "redundancy": expert_redundancies.rows(routing_files.example(), plan=planned),
        "torch": torch.__version__,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
