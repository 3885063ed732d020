"""
An adversary that kills whoever leads, whenever the row is above what its breaker bears.

A coordinator that dies of the work of braking does just this, on every candidate. The guards
live, no node is silent, and the load is always the worst.
"""

import pytest

from loadline_policies.power.safety.breakers import TRIP
from testbed.shaken_rows.events import happen
from testbed.shaken_rows.rows import CURVE, Bench


@pytest.mark.parametrize(
    ("seed", "back_s"),
    [(1, 5.0), *(pytest.param(2, back_s, marks=pytest.mark.slow) for back_s in (1.0, 5.0, 10.0))],
)
def test_a_leader_that_dies_of_braking_again_and_again_never_trips_the_breaker(
    seed: int, back_s: float
) -> None:
    bench = Bench(seed=seed)
    bench.run(40.0)
    bench.demand(420.0)
    back: dict[int, float] = {}
    deaths, end_s = 0, bench.world.now + 240.0
    while bench.world.now < end_s:
        bench.run(0.05)
        for index, due_s in list(back.items()):
            if bench.world.now >= due_s:
                happen(bench, "restart", index=index)
                del back[index]
        for agent in bench.leaders() if bench.load() > CURVE.borne_load else ():
            index = bench.agents.index(agent)
            agent.process.kill()
            back[index] = bench.world.now + back_s
            deaths += 1
    assert deaths >= 2
    assert bench.most_heat < TRIP
