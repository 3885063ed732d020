"""What is left of a router's answer: weights, padding, and what kernels get for what was dropped."""

import pytest
import torch
from hypothesis import given

from loadline_vllm.experts import drops
from loadline_vllm.experts.dropped_slots import KERNELS, DroppedSlot, ids_for, slot_for
from loadline_vllm.experts.routings import chosen, renormalised
from testbed.experts.cases import Case
from testbed.experts.strategies import GAMMAS, cases


@given(cases(), GAMMAS)
def test_survivors_may_get_the_weight_of_all(case: Case, gamma: int) -> None:
    own = case.own
    left = drops.token_drop(own, case.priorities, capacities=case.bounds(gamma))
    scaled = renormalised(left, own)
    some = left.kept.any(1)
    torch.testing.assert_close(scaled.weights.sum(1)[some], own.weights.sum(1)[some])
    assert not scaled.weights[~left.kept].any()


def test_an_id_that_is_no_experts_is_not_offered() -> None:
    own = chosen(torch.tensor([[0, 7], [-1, -1], [8, 3]]), torch.ones(3, 2), experts=8)
    assert own.offered.tolist() == [[True, True], [False, False], [False, True]]
    assert own.experts.tolist() == [[0, 7], [0, 0], [7, 3]]


@pytest.mark.parametrize("slot", DroppedSlot)
@given(case=cases(), gamma=GAMMAS)
def test_kernels_get_the_routers_ids_and_padding_as_it_was(slot: DroppedSlot, case: Case, gamma: int) -> None:
    left = drops.token_drop(case.own, case.priorities, capacities=case.bounds(gamma))
    ids = ids_for(left, case.ids, slot)
    assert ids.dtype == case.ids.dtype
    assert torch.equal(ids[~left.dropped], case.ids[~left.dropped])
    if slot is DroppedSlot.MINUS_ONE:
        assert (ids[left.dropped] == -1).all()
    else:
        assert torch.equal(ids[left.dropped], case.ids[left.dropped])


def test_a_negative_id_goes_only_to_kernels_that_are_known_to_skip_it() -> None:
    assert slot_for("CPU") is DroppedSlot.ZERO_WEIGHT
    assert slot_for("a kernel of next year") is DroppedSlot.ZERO_WEIGHT
    assert [name for name, slot in KERNELS.items() if slot is DroppedSlot.MINUS_ONE] == ["TRITON"]
