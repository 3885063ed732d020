"""Where experts are, and how their load falls to ranks."""

import pytest

from loadline_policies.errors import InvalidInput
from loadline_policies.experts.placements import Placement, contiguous


def test_experts_are_placed_in_order() -> None:
    assert contiguous(7, 3).ranks == ((0, 1, 2), (3, 4), (5, 6))
    assert contiguous(2, 3).ranks == ((0,), (1,), ())


def test_replicas_share_the_load_of_their_expert() -> None:
    placement = Placement(((0, 1), (0, 0), (2,)))
    assert placement.replicas == (3, 1, 1)
    assert placement.rank_loads([30, 4, 5]) == [14, 20, 5]


@pytest.mark.parametrize("ranks", [((0,), (2,)), ((),), (), ((-1, 0),)])
def test_an_expert_without_a_rank_is_refused(ranks: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(InvalidInput, match=r"experts\.placement"):
        Placement(ranks)
