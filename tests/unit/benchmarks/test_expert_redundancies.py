"""What redundant experts by layer gain over equally many, on other requests than the plan was made from."""

from collections.abc import Sequence

import pytest

from benchmarks import expert_redundancies
from loadline_policies.experts.placements import Placement
from testbed.small_routings import routing_of


def packed(loads: Sequence[float], *, physical: int, ranks: int) -> Placement:
    """A planner: replicas of the fullest experts, each then on the rank with the least load that has room."""
    replicas = [1] * len(loads)
    for _ in range(physical - len(loads)):
        fullest = max(range(len(loads)), key=lambda expert: loads[expert] / replicas[expert])
        replicas[fullest] += 1
    copies = [expert for expert, count in enumerate(replicas) for _ in range(count)]
    placed: list[list[int]] = [[] for _ in range(ranks)]
    for expert in sorted(copies, key=lambda expert: -loads[expert] / replicas[expert]):
        free = [rank for rank in placed if len(rank) < physical // ranks]
        min(free, key=lambda rank: sum(loads[one] / replicas[one] for one in rank)).append(expert)
    return Placement(tuple(map(tuple, placed)))


@pytest.fixture(autouse=True)
def two_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expert_redundancies, "RANKS", (2,))


def test_memory_goes_to_the_layer_that_needs_it() -> None:
    """Both halves are alike: one layer sends all tokens to one expert of four, the other spreads them."""
    ids = [[[0], [token % 4]] for _ in range(4) for token in range(4)]
    routing = routing_of(ids, experts=4, sequence=[request for request in range(4) for _ in range(4)])
    rows = {row["redundant_per_rank"]: row for row in expert_redundancies.rows(routing, plan=packed)}
    none, one, two = 2, 2 * 2 / 3, 2 * 3 / 5  # of the expert: all, two of three, three of five replicas
    assert rows[0.5]["marginal"] == rows[0.5]["planned_marginal"] == pytest.approx((one + 1) / 2)
    assert rows[0.5]["uniform"] == pytest.approx(((none + one) / 2 + 1) / 2)
    assert rows[1.0]["uniform"] == pytest.approx((one + 1) / 2)
    assert rows[1.0]["gain"] == pytest.approx((one + 1) / (two + 1))
    assert rows[1.0]["memory_for_as_good"] == 0.5
