"""The arms: what each changes, and that all that have redundant experts have the same memory for them."""

from collections.abc import Sequence

from benchmarks.expert_parallel.arms import GAMMA_THOUSANDTHS, REDUNDANT_SHARE, Arm, arms
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.placements import Placement, contiguous

RANKS, EXPERTS = 2, 2 * REDUNDANT_SHARE
EVEN, HOT = [10] * EXPERTS, [1_000] + [10] * (EXPERTS - 1)


def in_turns(loads: Sequence[float], *, physical: int, ranks: int) -> Placement:
    """A planner: replicas of the fullest experts, and all of them dealt out to the ranks in turns."""
    replicas = [1] * len(loads)
    for _ in range(physical - len(loads)):
        fullest = max(range(len(loads)), key=lambda expert: loads[expert] / replicas[expert])
        replicas[fullest] += 1
    copies = [expert for expert, count in enumerate(replicas) for _ in range(count)]
    return Placement(tuple(tuple(copies[rank::ranks]) for rank in range(ranks)))


def by_name(loads: Sequence[Sequence[int]]) -> list[dict[str, Arm]]:
    return [{arm.name: arm for arm in layer} for layer in arms(loads, ranks=RANKS, top_k=2, plan=in_turns)]


def test_only_what_an_arm_is_named_after_changes() -> None:
    (found,) = by_name([HOT])
    order = contiguous(EXPERTS, RANKS)
    assert found["none"] == Arm(name="none", placement=order)
    assert found["capacity"] == Arm(name="capacity", placement=order, gamma_thousandths=GAMMA_THOUSANDTHS)
    assert set(found["placement"].placement.replicas) == {1}
    assert found["placement"].gamma_thousandths == UNBOUNDED_THOUSANDTHS
    assert found["both"].gamma_thousandths == GAMMA_THOUSANDTHS


def test_memory_for_redundant_experts_goes_where_it_helps() -> None:
    even, hot = by_name([EVEN, HOT])
    for name in ("placement with redundancy", "both"):
        assert set(even[name].placement.replicas) == {1}
        assert hot[name].placement.replicas[0] > 1
        extra = sum(hot[name].placement.replicas) - EXPERTS
        assert extra <= 2 * EXPERTS // REDUNDANT_SHARE
