"""
The scenarios that the rule was attacked with, by name, on the product's own protocol.

Each was once a way to break the promise, or to have a row held for ever; `testbed/protocol_model` has
those that it covers on the rule itself, and `test_orphans` a domain deleted, made anew and renamed. Rows
are of ten nodes with k = 1, or of four with k = 0.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest

from loadline_policies.power.protocol.gpu_limits import SAFE_REASONS
from loadline_policies.power.protocol.member_evidence import Evidence
from loadline_policies.power.protocol.node_outputs import CarryOut, Output
from loadline_policies.power.safety.breakers import TRIP
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.events import happen
from testbed.shaken_rows.papers import GPUS, MAX_WATTS, MIN_WATTS
from testbed.shaken_rows.rows import CURVE, Bench

pytestmark = pytest.mark.slow


def row(nodes: int = 10, *, seed: int = 7) -> Bench:
    """An armed row that draws little."""
    bench = Bench(seed=seed, nodes=nodes)
    bench.run(30.0)
    assert len(bench.armed()) == nodes
    return bench


def let(bench: Bench, kind: str, nodes: Iterable[int]) -> None:
    for index in nodes:
        happen(bench, kind, index=index)


def shaken(bench: Bench, seconds: float = 60.0, *, most_load: float = CURVE.borne_load) -> None:
    """The worst load: the row comes below what it bears within a reaction, and doesn't trip."""
    bench.demand(420.0)
    bench.run(15.0)
    for _ in range(int(seconds)):
        bench.run(1.0)
    assert bench.load() <= most_load
    assert bench.most_heat < TRIP
    assert bench.raised_at_deadline == []


def held(bench: Bench) -> bool:
    leaders = [agent.coordinator for agent in bench.leaders()]
    return any(one is not None and one.level in SAFE_REASONS for one in leaders)


def evidence(bench: Bench) -> Evidence:
    """What the leader has heard of its row."""
    leader = bench.leaders()[0]
    assert leader.coordinator is not None
    return leader.coordinator.domain_state(leader.process.now).evidence


def free(bench: Bench) -> bool:
    return all(paper.limits == [MAX_WATTS] * GPUS for paper in bench.papers)


def test_a_free_row_with_nobody_at_safe() -> None:
    bench = row()
    assert free(bench)
    shaken(bench)


def test_a_gpu_at_its_minimum() -> None:
    bench = row()
    bench.papers[4].overwrite(MIN_WATTS)
    bench.run(30.0)
    assert free(bench), "a lower limit of somebody else's is written over like any other, today"
    shaken(bench)


def test_safe_limits_at_the_minimum() -> None:
    bench = Bench(seed=7)
    budget_watts = 10 * (650.0 + 2 * 1.05 * 101.0)
    bench.site.declare(replace(bench.site.domain, budget_watts=budget_watts))
    bench.run(30.0)
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    assert leader.problem is not None, "twice a reaction is more than this breaker bears"
    assert bench.armed() == []


def test_lowest_equals_maximum() -> None:
    """There is nothing to prove, and nothing to give: the others are planned around it from the first."""
    bench = Bench(seed=7)
    for agent in bench.agents[3:5]:
        rating = agent.gpus.hardware.rating
        fixed = tuple(replace(gpu, min_watts=MAX_WATTS) for gpu in rating.gpus)
        agent.gpus.hardware.rating = replace(rating, gpus=fixed)
    bench.run(30.0)
    assert len(bench.armed()) == 10
    assert free(bench)
    assert not held(bench)
    shaken(bench, most_load=1.0)


def test_a_bmcs_cap_below_the_order_and_lifted() -> None:
    bench = row()
    let(bench, "bmc", (4, 5, 6))
    bench.run(20.0)
    assert not held(bench)
    bench.demand(420.0)
    bench.run(10.0)
    let(bench, "bmc", (4, 5, 6))
    shaken(bench)


def test_one_unreadable_gpu_for_good_with_k_0() -> None:
    bench = row(4)
    before = max(bench.agents[0].record.safe_watts)
    happen(bench, "lose GPU", index=3)
    shaken(bench, 300.0, most_load=1.0)
    assert not held(bench)
    assert max(max(agent.record.safe_watts) for agent in bench.agents[:3]) < before, "the others give for it"


def test_u_above_k_by_orders_alone() -> None:
    """Three fall silent in the second that frees the row: for all that is known they hold their maximum."""
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    bench.demand(80.0)
    three = [bench.agents.index(agent) for agent in bench.agents if agent not in bench.leaders()][-3:]
    while all(paper.limits[0] < MAX_WATTS for paper in bench.papers):
        bench.run(0.1)
    let(bench, "isolate", three)
    shaken(bench, most_load=1.0)
    assert not held(bench), "they are planned for, though nothing but orders speaks against them"
    happen(bench, "reconnect", index=0)
    bench.demand(80.0)
    bench.run(240.0)
    assert free(bench), "heard again, they count as before"


def unwritable(agent: Agent) -> None:
    """From now on the state directory takes nothing: an order fails before anything is set."""
    carry = agent._carry

    def unwritten(outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, CarryOut):
                carry(agent.node.failed("StateLost", "no space left", agent.process.now))
            else:
                carry((output,))

    agent._carry = unwritten  # type: ignore[method-assign]


def test_an_unwritable_record() -> None:
    """It is never armed, and the others are planned around it at its maximum."""
    bench = Bench(seed=7)
    for agent in bench.agents[3:5]:
        unwritable(agent)
    bench.run(40.0)
    assert [agent.name for agent in bench.agents if agent not in bench.armed()] == ["node-3", "node-4"]
    assert not held(bench)
    shaken(bench, most_load=1.0)


def test_a_record_that_can_no_longer_be_written() -> None:
    """Armed, it stays where its record lets it fall, and takes nobody else along when the budget falls."""
    bench = row()
    for agent in bench.agents[3:5]:
        unwritable(agent)
    bench.site.declare(replace(bench.site.domain, budget_watts=0.97 * bench.budget_watts))
    bench.run(60.0)
    assert len(bench.armed()) == 10
    assert bench.safe_sum_watts() <= 0.97 * bench.budget_watts
    assert not held(bench)
    shaken(bench)


def test_a_member_that_never_acknowledges_with_a_smaller_budget() -> None:
    bench = row()
    for name in bench.candidates:
        bench.site.link.cut.add((name, "node-5"))
    bench.site.declare(replace(bench.site.domain, budget_watts=0.97 * bench.budget_watts))
    bench.run(60.0)
    others = [agent for agent in bench.agents if agent.name != "node-5"]
    assert max(max(agent.record.safe_watts) for agent in others) < min(bench.agents[5].record.safe_watts)
    assert not held(bench)
    shaken(bench)


def test_setters_that_fail_for_20_s_while_all_are_at_safe() -> None:
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    let(bench, "setters fail", range(10))
    bench.run(20.0)
    let(bench, "setters work", range(10))
    shaken(bench, 120.0)
    bench.demand(80.0)
    bench.run(240.0)
    assert free(bench), "nothing is held for ever"


def test_a_budget_too_small_by_faults() -> None:
    bench = row()
    let(bench, "setters fail", range(8))
    bench.demand(420.0)
    bench.run(15.0)
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    assert leader.level == "CannotBeHeld"
    told = evidence(bench)
    assert told.unholdable
    assert told.over_watts > 0.0
    assert told.unlowered == tuple(f"node-{index}" for index in range(8))
    let(bench, "setters work", range(8))
    bench.run(120.0)
    assert leader.level != "CannotBeHeld"
    fixed = evidence(bench)
    assert (fixed.unholdable, fixed.over_watts, fixed.unlowered) == (False, 0.0, ())
    assert fixed.armed == 10
    assert bench.load() <= CURVE.borne_load


def test_setters_that_die_in_calm() -> None:
    bench = row()
    let(bench, "setters fail", (3, 4))
    bench.run(300.0)
    shaken(bench)


def test_a_reboot_that_forgets_limits() -> None:
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    happen(bench, "reboot", index=6)
    shaken(bench, 120.0)
    assert len(bench.armed()) == 10


@pytest.mark.parametrize("every_s", [5.0, 50.0, 61.0])
@pytest.mark.parametrize("kind", ["stranger", "low stranger"])
def test_a_stranger_on_three_nodes(kind: str, every_s: float) -> None:
    bench = row()
    for index in (3, 4, 5):
        bench.world.every(every_s, partial(happen, bench, kind, index=index))
    shaken(bench, 300.0)
    assert len(bench.armed()) == 10


def test_a_stranger_that_never_stops() -> None:
    bench = row()
    for index in (3, 4, 5):
        bench.world.every(0.5, partial(happen, bench, "stranger", index=index))
    shaken(bench, 300.0)


def test_a_driver_reset_of_all_nodes() -> None:
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    let(bench, "driver reset", range(10))
    shaken(bench)


def test_a_dead_setter_and_release() -> None:
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    let(bench, "setters fail", (5,))
    bench.demand(80.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(120.0)
    assert len(bench.armed()) <= 1, "nobody waits for the one that can't be released"


def test_a_silent_member_and_release() -> None:
    bench = row()
    bench.demand(420.0)
    bench.run(20.0)
    happen(bench, "kill with guard", index=5)
    bench.demand(80.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(180.0)
    assert [agent.name for agent in bench.armed()] == ["node-5"]


def test_the_api_server_away_for_60_s() -> None:
    bench = row()
    bench.site.lease.available = False
    bench.demand(420.0)
    bench.run(60.0)
    bench.site.lease.available = True
    shaken(bench)


def test_a_leader_that_hears_one_of_ten() -> None:
    """It gives the Kubernetes Lease up, and another one leads all but it."""
    bench = row()
    former = bench.leaders()[0]
    happen(bench, "isolate", index=bench.agents.index(former))
    bench.run(45.0)
    (leader,) = bench.leaders()
    assert leader is not former
    shaken(bench, 120.0, most_load=1.05)
    assert bench.leaders() == [leader]
    assert bench.coordinators()[0].members.silent(leader.process.now) == (former.name,)


class OneNodeRow(Bench):
    """Its only node is the only one that may lead."""

    @property
    def candidates(self) -> tuple[str, ...]:
        return ("node-0",)


def test_a_leader_without_members_in_a_one_node_row() -> None:
    """The only candidate stays, though it doesn't even hear itself: nobody else could hear more."""
    bench = OneNodeRow(seed=7, nodes=1)
    bench.run(30.0)
    assert len(bench.armed()) == 1
    bench.site.link.cut.add(("node-0", "node-0"))
    transitions = bench.site.lease.record.transitions
    bench.demand(420.0)
    bench.run(300.0)
    assert len(bench.leaders()) == 1
    assert bench.site.lease.record.transitions == transitions
    assert bench.load() <= 1.0
    happen(bench, "reconnect", index=0)
    bench.demand(80.0)
    bench.run(240.0)
    assert free(bench)


def test_a_leader_that_nobody_can_hear_in_favour_of_whom_somebody_can() -> None:
    """Two candidates are cut off from all others: both give up once, and the third one leads."""
    bench = row()
    for index in (0, 1):
        happen(bench, "isolate", index=index)
    bench.run(90.0)
    assert [agent.name for agent in bench.leaders()] == ["node-2"]
    shaken(bench, 60.0, most_load=1.05)


def test_candidates_that_hear_nobody_do_not_hand_the_lease_around_for_ever() -> None:
    bench = row()
    for index in range(len(bench.agents)):
        happen(bench, "isolate", index=index)
    bench.run(300.0)
    transitions = bench.site.lease.record.transitions
    assert transitions <= 6
    bench.run(300.0)
    assert bench.site.lease.record.transitions == transitions, "each has given up once within the hour"
    assert bench.most_heat < TRIP


def test_two_leaders_with_two_plans() -> None:
    bench = row()
    bench.demand(420.0)
    for _ in range(12):
        leader = bench.agents.index(bench.leaders()[0]) if bench.leaders() else 0
        happen(bench, "usurp", index=(leader + 1) % 3)
        happen(bench, "budget", index=0)
        bench.run(4.0)
    shaken(bench)
    assert max(bench.safe_sums) <= bench.budget_watts


def test_five_joiners_at_once() -> None:
    bench = Bench(seed=7)
    few = frozenset(f"node-{index}" for index in range(5))
    bench.site.declare(replace(bench.site.domain, members=few))
    bench.run(30.0)
    bench.demand(300.0)
    bench.run(10.0)
    everybody = frozenset(agent.name for agent in bench.agents)
    bench.site.declare(replace(bench.site.domain, members=everybody))
    bench.run(30.0)
    assert len(bench.armed()) == 10
    shaken(bench)


@pytest.mark.parametrize("nodes", [4, 10], ids=["k=0", "k=1"])
@pytest.mark.parametrize(("silent_s", "of_s"), [(3.0, 6.0), (5.0, 45.0)])
def test_a_node_that_flaps(nodes: int, silent_s: float, of_s: float) -> None:
    bench = row(nodes)
    bench.demand(230.0)
    bench.run(20.0)
    seconds_held = 0.0
    for turn in range(int(400.0 / of_s)):
        happen(bench, "stop", index=3)
        bench.run(silent_s)
        happen(bench, "resume", index=3)
        for _ in range(int(of_s - silent_s)):
            bench.run(1.0)
            seconds_held += held(bench) and turn * of_s > 120.0
    assert bench.most_heat < TRIP
    assert bench.load() <= CURVE.borne_load
    assert seconds_held <= 0.02 * 400.0, "not held again and again, for ever"
