"""How far a placement planned from earlier loads fits the loads of now."""

import math

from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.experts.drifts import Drift, drift
from loadline_policies.experts.placements import Placement

EXPERTS, RANKS = 6, 3


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Each expert once, two on each rank."""
    order = draw(st.permutations(range(EXPERTS)))
    return Placement(tuple(tuple(order[rank::RANKS]) for rank in range(RANKS)))


def test_a_placement_that_no_plan_improves_has_not_drifted() -> None:
    placement = Placement(((0, 1), (2, 3)))
    assert drift([[1, 2, 3, 0]], earlier=[placement], now=[placement]) == Drift((1.0,), 1.0)


def test_the_total_is_of_layers_that_run_one_after_the_other() -> None:
    earlier = [Placement(((0, 1), (2, 3)))] * 2
    now = [Placement(((0, 2), (1, 3)))] * 2
    found = drift([[4, 4, 0, 0], [1, 0, 1, 0]], earlier=earlier, now=now)
    assert found == Drift((2.0, 1.0), 9 / 5)


def test_a_layer_without_a_pair_is_unknown() -> None:
    placement = Placement(((0,), (1,)))
    found = drift([[0, 0], [1, 3]], earlier=[placement] * 2, now=[placement] * 2)
    assert found == Drift((None, 1.0), 1.0)
    assert drift([[0, 0]], earlier=[placement], now=[placement]) == Drift((None,), None)


@given(
    st.lists(st.integers(0, 100), min_size=EXPERTS, max_size=EXPERTS).filter(any), placements(), placements()
)
def test_the_drift_is_from_one_to_the_number_of_ranks(
    loads: list[int], earlier: Placement, now: Placement
) -> None:
    found = drift([loads], earlier=[earlier], now=[now])
    assert found.total is not None
    assert 1 <= found.total <= RANKS or math.isclose(found.total, RANKS)
