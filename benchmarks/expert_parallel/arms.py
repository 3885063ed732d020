"""
The ways of serving a layer's experts that are compared: where experts are, and what each may compute.

Placements are planned by the engine's own algorithm from the loads of the requests that aren't served, of all
ranks' tokens together. Redundant experts are shared out to the layers by `redundancies`: so that ranks are
as even as possible, or, where a capacity follows, so that it drops the fewest pairs. A capacity applies to
what a placement leaves: an expert with more replicas has a higher one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadline_policies.experts import redundancies
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.placements import Placement, contiguous
from loadline_policies.experts.redundancies import Cost, Planner, physical_experts

GAMMA_THOUSANDTHS = 1_500
REDUNDANT_SHARE = 8
"""One redundant expert for so many of the model's, as DeepSeek-V3 has in prefill (source: unverified)."""

MOST_OVER_EVEN = 3
"""A layer gets at most so many times what an even split would give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of serving one layer."""

    name: str
    placement: Placement
    gamma_thousandths: int = UNBOUNDED_THOUSANDTHS


def arms(loads: Sequence[Sequence[int]], *, ranks: int, top_k: int, plan: Planner) -> list[list[Arm]]:
    """For each layer all arms, given the loads of each layer to plan from."""
    even = max(len(loads[0]) // REDUNDANT_SHARE // ranks, 1)

    def shared(cost: Cost) -> tuple[int, ...]:
        """The redundant experts of each layer on every rank."""
        most = MOST_OVER_EVEN * even
        curves = [redundancies.curve(each, ranks=ranks, most=most, plan=plan, cost=cost) for each in loads]
        return redundancies.splits(curves, most=even * len(loads))[-1].per_rank

    fullest = shared(redundancies.fullest)
    dropped = shared(redundancies.dropped(gamma_thousandths=GAMMA_THOUSANDTHS, top_k=top_k))
    return [_of_layer(*each, ranks=ranks, plan=plan) for each in zip(loads, fullest, dropped, strict=True)]


def _of_layer(loads: Sequence[int], fullest: int, dropped: int, *, ranks: int, plan: Planner) -> list[Arm]:
    def placed(count: int) -> Placement:
        return plan(loads, physical=physical_experts(len(loads), ranks=ranks, redundant=count), ranks=ranks)

    unplanned = contiguous(len(loads), ranks)
    return [
        Arm(name="none", placement=unplanned),
        Arm(name="placement", placement=placed(0)),
        Arm(name="placement with redundancy", placement=placed(fullest)),
        Arm(name="capacity", placement=unplanned, gamma_thousandths=GAMMA_THOUSANDTHS),
        Arm(name="both", placement=placed(dropped), gamma_thousandths=GAMMA_THOUSANDTHS),
    ]
