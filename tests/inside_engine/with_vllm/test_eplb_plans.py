"""A placement that vLLM's EPLB plans, away from any engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.redundancies import Planner, physical_experts
from loadline_vllm.expert_layers.eplb_plans import planned

pytestmark = pytest.mark.filterwarnings("ignore")

PLAN: Planner = planned


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=24), st.integers(1, 8), st.integers(0, 3))
def test_each_expert_is_placed_and_every_rank_has_equally_many(
    loads: list[int], ranks: int, redundant: int
) -> None:
    physical = physical_experts(len(loads), ranks=ranks, redundant=redundant)
    placement = PLAN(loads, physical=physical, ranks=ranks)
    assert {len(rank) for rank in placement.ranks} == {physical // ranks}
    assert sum(placement.replicas) == physical
    assert all(placement.replicas)


def test_replicas_are_of_the_fullest_experts() -> None:
    placement = PLAN([90, 10, 60, 10], physical=6, ranks=2)
    assert placement.replicas == (2, 1, 2, 1)
    assert max(placement.rank_loads([90, 10, 60, 10])) < max(contiguous(4, 2).rank_loads([90, 10, 60, 10]))


@pytest.mark.parametrize("physical", [3, 5])
def test_what_eplb_cannot_place_is_refused(physical: int) -> None:
    with pytest.raises(InvalidInput, match="give a multiple of 2 ranks, and no fewer than 4 experts"):
        PLAN([1, 2, 3, 4], physical=physical, ranks=2)
