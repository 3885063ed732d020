"""Members with a fault: whoever is armed stays so, and whoever isn't counts at all that it can draw."""

import pytest

from loadline_policies.power.safety.breakers import TRIP
from testbed.doubles.shaken_rows import CURVE, NODES, Bench


@pytest.mark.parametrize("faulty", [1, 2, 3, 5, NODES])
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


@pytest.mark.parametrize("faulty", [1, 2, 3])
def test_the_others_give_for_nodes_that_never_could_be_armed(faulty: int) -> None:
    bench = Bench(seed=5)
    for agent in bench.agents[-faulty:]:
        agent.gpus.faults = {"OtherWriter": "a cron job"}
    bench.run(40.0)
    assert len(bench.armed()) == NODES - faulty
    bench.demand(420.0)
    bench.run(30.0)
    assert bench.load() <= 1.0
