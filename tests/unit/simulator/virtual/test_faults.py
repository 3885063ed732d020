"""
Members with a fault: whoever is armed stays so, and whoever isn't counts at all that it can draw.

The shortest schedules that the bench has found, by name, and the review's own.
"""

from dataclasses import replace
from functools import partial

import pytest

from loadline_policies.power.safety.breakers import TRIP
from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from testbed.shaken_rows.events import happen
from testbed.shaken_rows.hostile_reports import HOSTILE_WAYS, twisted
from testbed.shaken_rows.papers import GPUS, HOST_WATTS
from testbed.shaken_rows.rows import BUDGET_WATTS, CURVE, NODES, Bench


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


def test_a_row_at_its_lowest_limits_is_freed_also_by_agents_that_began_there() -> None:
    """A GPU that a new agent hadn't written yet was told a step less; at its lowest that was for good."""
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[:8]:
        agent.gpus.failing = {0, 1}
    bench.demand(420.0)
    bench.run(10.0)
    for index in (8, 9):
        happen(bench, "kill", index=index)
        happen(bench, "restart", index=index)
    for agent in bench.agents[:8]:
        agent.gpus.failing = set()
    bench.demand(80.0)
    bench.run(180.0)
    assert [paper.limits for paper in bench.papers] == [[400.0] * GPUS] * NODES


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


@pytest.mark.parametrize("dead", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_others_give_for_more_dead_nodes_than_the_breaker_bears(dead: int) -> None:
    """They were counted at their safe limits as long as they had ever been heard: it tripped in a minute."""
    bench = Bench(seed=5)
    bench.run(30.0)
    for agent in bench.agents[3 : 3 + dead]:
        happen(bench, "kill with guard", index=bench.agents.index(agent))
    bench.demand(420.0)
    bench.run(20.0)
    assert bench.load() <= 1.0
    bench.run(60.0)
    assert bench.most_heat < TRIP


def test_a_node_that_lost_its_record_is_armed_again_also_under_a_refused_declaration() -> None:
    """While a budget that can't hold was declared, a member that rebooted stayed at its maximum for good."""
    bench = Bench(seed=5)
    bench.run(30.0)
    bench.site.declare(replace(bench.site.domain, budget_watts=1000.0))
    happen(bench, "reboot", index=5)
    bench.run(90.0)
    assert len(bench.armed()) == NODES


@pytest.mark.parametrize("every_s", [5.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_the_others_give_for_gpus_on_which_somebody_keeps_writing(every_s: float) -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    bench.demand(420.0)
    for agent in bench.agents[3:6]:
        bench.world.every(every_s, partial(happen, bench, "stranger", index=bench.agents.index(agent)))
    bench.run(60.0)
    written = sum(paper.host_watts + SENSOR_GAIN * GPUS * 400.0 for paper in bench.papers[3:6])
    others = (agent for agent in bench.agents if agent not in bench.agents[3:6])
    falls = sum(HOST_WATTS + SENSOR_GAIN * sum(agent.record.safe_watts) for agent in others)
    assert written + falls <= BUDGET_WATTS
    bench.run(120.0)
    assert bench.most_heat < TRIP
    assert len(bench.armed()) == NODES


@pytest.mark.slow
def test_somebody_who_writes_once_a_minute_takes_nothing_from_the_others() -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    safe = [agent.record.safe_watts for agent in bench.agents]
    for index in range(NODES):
        bench.world.every(61.0, partial(happen, bench, "stranger", index=index))
    bench.run(400.0)
    assert [agent.record.safe_watts for agent in bench.agents] == safe
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)


SOME_WAYS = (0, 1, 11)
"""A negative draw, one beyond all numbers, an epoch beyond all: the other ways are for the slow tests."""


@pytest.mark.parametrize(
    "how",
    [how if how in SOME_WAYS else pytest.param(how, marks=pytest.mark.slow) for how in range(HOSTILE_WAYS)],
)
def test_whatever_one_member_says_of_itself_the_row_is_led_and_stays_below_trip(how: int) -> None:
    bench = Bench(seed=6, nodes=5)
    bench.run(30.0)
    bench.twists = {"node-4": partial(twisted, how=how)}
    bench.run(3.0)
    bench.demand(420.0)
    bench.run(120.0)
    assert len(bench.leaders()) == 1
    assert bench.load() <= CURVE.borne_load
    assert bench.most_heat < TRIP


def test_the_others_give_for_a_gpu_that_can_not_be_read_any_more() -> None:
    """It counted at the limit that was last read; with k = 0 nobody gave for what was set there since."""
    bench = Bench(seed=5, nodes=4)
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(10.0)
    happen(bench, "lose GPU", index=3)
    bench.papers[3].overwrite(400.0)
    bench.run(20.0)
    assert bench.load() <= 1.0
    happen(bench, "find GPU", index=3)
    bench.run(60.0)
    assert bench.load() <= 1.0
    assert bench.most_heat < TRIP


def test_a_dead_setter_is_known_when_its_node_is_armed_and_not_at_the_first_brake() -> None:
    """In a free row nothing was ever written, so that a dead setter could be trusted for weeks."""
    bench = Bench(seed=5)
    for agent in bench.agents[3:5]:
        agent.gpus.failing = {0, 1}
    bench.run(30.0)
    assert len(bench.armed()) == NODES
    able = [all(gpu.able for gpu in agent.gpus.look(bench.world.now).gpus) for agent in bench.agents]
    assert [index for index, so in enumerate(able) if not so] == [3, 4]
    bench.demand(420.0)
    bench.run(1.5)
    assert bench.load() <= 1.0, "the others are planned around them already"


def test_no_limit_is_ever_ordered_above_what_its_owner_had_set() -> None:
    """A free row was raised to the hardware's maximum, also where somebody had set less, for a reason."""
    bench = Bench(seed=5)
    for paper in bench.papers:
        paper.limits = [350.0] * GPUS
    bench.run(30.0)
    for load in (420.0, 80.0, 420.0):
        bench.demand(load)
        bench.run(60.0)
    assert max(watts for paper in bench.papers for _, watts in paper.orders) == 350.0


def test_a_free_row_is_proven_by_one_step_and_given_it_back() -> None:
    bench = Bench(seed=5)
    bench.run(30.0)
    assert all({watts for _, watts in paper.orders} == {399.0, 400.0} for paper in bench.papers)
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)
    orders = [len(paper.orders) for paper in bench.papers]
    bench.run(60.0)
    assert [len(paper.orders) for paper in bench.papers] == orders


def test_what_is_drawn_while_a_driver_is_away_counts_once_its_node_knows() -> None:
    """Each reload left heat uncounted, and nine of them nearly a quarter of all that trips the breaker."""
    bench = Bench(seed=5, nodes=4)
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(10.0)
    (leader,) = bench.coordinators()
    before, counted_before = bench.heat, leader.heat
    for index in (2, 3):
        happen(bench, "driver reload", index=index)
    bench.run(4.0)
    assert bench.heat > before
    assert leader.heat - counted_before >= bench.heat - before
