"""
What it gains to share redundant experts out to layers, instead of giving all layers equally many.

Recorded requests are split in halves: placements are planned from one, and their fullest ranks are those of
the other. Both ways have the same memory. A gain is how much less the fullest ranks of all layers have to
compute together, since layers run one after the other.

Memory for less than one redundant expert a rank and layer can't be given to all layers equally. Its figure
is then what to expect of layers that are chosen blindly.
"""

from collections.abc import Sequence
from functools import cache
from math import floor
from typing import Any

from benchmarks.expert_parallel import recorded
from loadline_policies.experts.placements import Placement
from loadline_policies.experts.redundancies import Planner, curve, fewest, physical_experts, splits
from loadline_sim.experts.routings import Routing, halves

RANKS = (8, 16, 32, 64)
PER_RANK = (0.25, 0.5, 1.0, 2.0)
"""Redundant experts of a layer on each rank: the memory, as a mean over all layers."""

MOST_PER_RANK = 4
"""What one layer may get."""

AS_GOOD = 1.01
SEED = 1


def rows(routing: Routing, *, plan: Planner) -> list[dict[str, Any]]:
    """For each number of ranks and each memory: both imbalances, and the gain."""
    from_, served = halves(routing, seed=SEED)
    return [
        row for ranks in RANKS for row in _of_ranks(_loads(from_), _loads(served), ranks=ranks, plan=plan)
    ]


def _loads(routing: Routing) -> list[tuple[int, ...]]:
    """The pairs of each expert, layer by layer."""
    return [tuple(recorded.loads(routing, layer=layer)) for layer in range(routing.layers)]


def _of_ranks(
    from_: Sequence[tuple[int, ...]], served: Sequence[tuple[int, ...]], *, ranks: int, plan: Planner
) -> list[dict[str, Any]]:
    @cache
    def known(loads: tuple[int, ...], *, physical: int, ranks: int) -> Placement:
        return plan(loads, physical=physical, ranks=ranks)

    curves = [curve(each, ranks=ranks, most=MOST_PER_RANK, plan=known) for each in from_]
    found = [
        [
            max(
                known(
                    before,
                    physical=physical_experts(len(before), ranks=ranks, redundant=count),
                    ranks=ranks,
                ).rank_loads(after)
            )
            for count in range(MOST_PER_RANK + 1)
        ]
        for before, after in zip(from_, served, strict=True)
    ]
    even, served_even = (sum(map(sum, loads)) / ranks for loads in (from_, served))
    best = splits(curves, most=round(max(PER_RANK) * len(curves)))
    result = []
    for per_rank in PER_RANK:
        split = best[round(per_rank * len(curves))]
        uniform, shared = _equal(found, per_rank), _sum(found, split.per_rank)
        enough = fewest(best, cost=AS_GOOD * _equal(curves, per_rank))
        result.append(
            {
                "ranks": ranks,
                "redundant_per_rank": per_rank,
                "planned_uniform": _equal(curves, per_rank) / even,
                "planned_marginal": split.cost / even,
                "uniform": uniform / served_even,
                "marginal": shared / served_even,
                "gain": uniform / shared,
                "memory_for_as_good": enough.experts / (per_rank * len(curves)) if enough else None,
            }
        )
    return result


def _sum(found: Sequence[Sequence[float]], per_rank: Sequence[int]) -> float:
    return sum(layer[count] for layer, count in zip(found, per_rank, strict=True))


def _equal(found: Sequence[Sequence[float]], per_rank: float) -> float:
    """The sum if each layer had as many; of a fraction, what to expect of layers chosen blindly."""
    whole = floor(per_rank)
    part = per_rank - whole
    return sum(layer[whole] + (part * (layer[whole + 1] - layer[whole]) if part else 0.0) for layer in found)
