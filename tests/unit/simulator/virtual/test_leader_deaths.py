"""
An adversary that kills whoever leads, whenever the row is above what its breaker bears.

A coordinator that dies of the work of braking does just this, on every candidate. The guards
live, and no node is silent. A successor resumes braked and frees nobody, so that a load that is always
the worst kills few: it falls again and again for long enough to have the row let go, and comes back.
"""

import pytest

from loadline_policies.power.safety.breakers import TRIP
from testbed.shaken_rows.events import happen
from testbed.shaken_rows.rows import CURVE, Bench

WORST_S, CALM_S = 10.0, 20.0
WORST_WATTS, CALM_WATTS = 420.0, 100.0


@pytest.mark.parametrize(
    ("seed", "back_s"),
    [(1, 5.0), *(pytest.param(2, back_s, marks=pytest.mark.slow) for back_s in (1.0, 5.0, 10.0))],
)
def test_a_leader_that_dies_of_braking_again_and_again_never_trips_the_breaker(
    seed: int, back_s: float
) -> None:
    bench = Bench(seed=seed)
    bench.run(40.0)
    back: dict[int, float] = {}
    deaths, begin_s = 0, bench.world.now
    demanded_watts = None
    while (played_s := bench.world.now - begin_s) < 240.0:
        watts = WORST_WATTS if played_s % (WORST_S + CALM_S) < WORST_S else CALM_WATTS
        if watts != demanded_watts:
            demanded_watts = watts
            bench.demand(watts)
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
    assert deaths >= 4
    assert bench.most_heat < TRIP
