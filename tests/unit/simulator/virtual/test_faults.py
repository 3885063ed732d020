"""Members with a fault: whoever is armed stays so, and whoever isn't counts at all that it can draw."""

import pytest

from loadline_policies.power.safety.breakers import TRIP
from testbed.shaken_rows.papers import GPUS
from testbed.shaken_rows.rows import CURVE, NODES, Bench


@pytest.mark.parametrize(
    "faulty", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 5, NODES))]
)
def test_armed_nodes_on_which_somebody_else_writes_are_not_let_go(faulty: int) -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[:faulty]:
        agent.gpus.faults = {"OtherWriter": "a cron job"}
    bench.run(20.0)
    bench.demand(420.0)
    bench.run(120.0)
    assert len(bench.armed()) == NODES
    assert bench.load() <= CURVE.borne_load
    assert bench.most_heat < TRIP


@pytest.mark.parametrize("faulty", [1, 3])
def test_the_others_give_for_nodes_that_never_could_be_armed(faulty: int) -> None:
    bench = Bench(seed=5)
    for agent in bench.agents[-faulty:]:
        agent.gpus.faults = {"OtherWriter": "a cron job"}
    bench.run(40.0)
    assert len(bench.armed()) == NODES - faulty
    bench.demand(420.0)
    bench.run(30.0)
    assert bench.load() <= 1.0


@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 3, 4))])
def test_the_others_give_for_gpus_whose_setters_fail(count: int) -> None:
    """They were counted at the safe limit in their record; two of ten tripped the breaker within 30 s."""
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[3 : 3 + count]:
        agent.gpus.failing = {0, 1}
    bench.demand(420.0)
    bench.run(20.0)
    assert bench.load() <= 1.0
    bench.run(100.0)
    assert bench.load() <= 1.0
    assert bench.most_heat < TRIP


def test_where_too_many_setters_fail_the_others_are_at_their_lowest_and_it_is_said() -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[:8]:
        agent.gpus.failing = {0, 1}
    bench.demand(420.0)
    bench.run(10.0)
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    assert leader.level == "CannotBeHeld"
    assert leader.problem is not None
    assert leader.problem.reason == "BudgetTooSmall"
    assert [paper.limits for paper in bench.papers[8:]] == [[100.0] * GPUS] * 2


def test_a_gpu_whose_setter_works_again_is_believed_after_proof_and_the_plan_grows_back() -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[3:5]:
        agent.gpus.failing = {0, 1}
    bench.demand(420.0)
    bench.run(20.0)
    lowered = max(bench.agents[0].record.safe_watts)
    for agent in bench.agents[3:5]:
        agent.gpus.failing = set()
    bench.run(20.0)
    assert max(bench.agents[0].record.safe_watts) == lowered, "not before it is proven"
    bench.run(60.0)
    assert max(bench.agents[0].record.safe_watts) > lowered
    assert bench.load() <= 1.0
