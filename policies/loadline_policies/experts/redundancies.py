"""
How many redundant experts each layer gets, when all layers share a rank's memory.

EPLB places equally many physical experts of a layer on each rank: so a layer has one redundant expert more on
every rank, or none more. A layer's *curve* is what it costs with 0, 1, 2 … redundant experts a rank, as a
planner would place them; the loads are those of whole batches, summed over the tokens of all ranks. The cost
is the load of the fullest rank (`fullest`), for which a step waits in each layer in turn; where a capacity
follows, it may be the pairs that this would drop (`dropped`). `splits` then finds, for each memory, what
every layer should get, so that the layers' costs together are least.

The result is exact. To give each expert to the layer whose cost falls most by it would pass over a layer in
which the first one gains nothing and the second much.

The planner is the caller's (`loadline_vllm.expert_layers.eplb_plans` has the engine's own). vLLM 0.32 takes
one number of redundant experts for all layers, so it can be given no split of different numbers.

Source: CRAFT (arXiv 2603.28768) for replicas by layer under a memory budget; the arithmetic is our own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from loadline_policies.experts.placements import Placement
from loadline_policies.experts.shadow_tables import count

Cost: TypeAlias = Callable[[Placement, Sequence[int]], float]
"""What a placement costs a layer, given the load of each expert."""


class Planner(Protocol):
    """Places `physical` copies of experts on `ranks`, equally many on each, for the given loads."""

    def __call__(self, loads: Sequence[float], *, physical: int, ranks: int) -> Placement: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What each layer gets, and what all layers cost then."""

    per_rank: tuple[int, ...]
    """The redundant experts of each layer on every rank."""

    cost: float

    @property
    def experts(self) -> int:
        """The redundant experts that a rank must hold in all layers."""
        return sum(self.per_rank)


def fullest(placement: Placement, loads: Sequence[int]) -> float:
    """The load of the fullest rank."""
    return max(placement.rank_loads(loads))


def dropped(*, gamma_thousandths: int, top_k: int) -> Cost:
    """The pairs that a capacity drops, with more for an expert that has replicas."""

    def cost(placement: Placement, loads: Sequence[int]) -> float:
        counts = count(
            loads,
            tokens=sum(loads) // top_k,
            top_k=top_k,
            placement=placement,
            grid_thousandths=(gamma_thousandths,),
        )
        return counts.dropped[0]

    return cost


def physical_experts(experts: int, *, ranks: int, redundant: int) -> int:
    """The physical experts of a layer with `redundant` ones on each rank, beside a whole number of others."""
    return ranks * (-(-experts // ranks) + redundant)


def curve(
    loads: Sequence[int], *, ranks: int, most: int, plan: Planner, cost: Cost = fullest
) -> tuple[float, ...]:
    """The cost with 0 to `most` redundant experts a rank; it may rise, since no planner is perfect."""
    counts = [physical_experts(len(loads), ranks=ranks, redundant=redundant) for redundant in range(most + 1)]
    return tuple(cost(plan(loads, physical=count, ranks=ranks), loads) for count in counts)


def splits(curves: Sequence[Sequence[float]], *, most: int) -> tuple[Split, ...]:
    """For 0 to `most` redundant experts a rank in all layers, the split with the least cost.

    Of equal ones it is the one with the fewest experts: what lowers nothing isn't used.
    """
    best = [Split(per_rank=(), cost=0.0)] * (most + 1)
    for costs in curves:
        best = [_extended(best, costs, within=within) for within in range(most + 1)]
    return tuple(best)


def fewest(found: Sequence[Split], *, cost: float) -> Split | None:
    """The first split that costs no more than `cost`; None if there is none."""
    return next((split for split in found if split.cost <= cost), None)


def _extended(best: Sequence[Split], costs: Sequence[float], *, within: int) -> Split:
    """The best split of one layer more, given those of the layers before for each number of experts."""
    candidates = (
        Split(
            per_rank=(*best[within - redundant].per_rank, redundant),
            cost=best[within - redundant].cost + cost,
        )
        for redundant, cost in enumerate(costs[: within + 1])
    )
    return min(candidates, key=lambda split: (split.cost, split.experts))
