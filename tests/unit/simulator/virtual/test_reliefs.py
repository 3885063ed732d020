"""Relief in a row of nodes that draw all they may: inside the bound, in turns, and never against a brake."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_policies.power.protocol.domains import ServiceTerms
from loadline_policies.power.protocol.messages import ServiceReport
from loadline_policies.power.relief.reliefs import TRIAL_S
from testbed.shaken_rows.papers import GPUS
from testbed.shaken_rows.rows import BUDGET_WATTS, NODES, RELIEF_LOAD, RELIEVING, Bench


def row(seed: int = 1, **missed: float) -> Bench:
    """A row under watt limits; `missed` is told by every node of the service."""
    bench = Bench(seed=seed, document=RELIEVING)
    for i, paper in enumerate(bench.papers):
        service = "chat" if i % 2 else "code"
        if service in missed:
            bench.site.services[paper.rating.node] = (ServiceReport(f"default/{service}", missed[service]),)
    return bench


def shown_load(bench: Bench) -> float:
    """What the sensors show, as a share of the budget."""
    return sum(paper.host_watts + sum(paper.watts()) for paper in bench.papers) / BUDGET_WATTS


def let_off(bench: Bench) -> set[int]:
    """The nodes whose limits are above their class's cap."""
    caps = [200.0 if i % 2 else 150.0 for i in range(NODES)]
    return {i for i, paper in enumerate(bench.papers) if max(paper.limits) > caps[i]}


def relieved(bench: Bench) -> tuple[str, ...]:
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    return leader.domain_state(bench.world.now).relieved


def test_a_service_that_misses_is_let_off_on_as_many_nodes_as_there_is_room_for() -> None:
    bench = row(chat=1.5)
    bench.demand(420.0)
    bench.run(60.0)
    assert relieved(bench) == ("default/chat",)
    assert 1 <= len(let_off(bench)) < NODES / 2
    assert let_off(bench) <= {1, 3, 5, 7, 9}
    assert shown_load(bench) <= RELIEF_LOAD


def test_low_priority_is_never_let_off() -> None:
    bench = row(code=9.0)
    bench.demand(420.0)
    bench.run(60.0)
    assert let_off(bench) == set()


@pytest.mark.slow
def test_nodes_take_turns_when_relief_helps_none_of_them() -> None:
    bench = row(chat=10.0)
    bench.demand(420.0)
    served: set[int] = set()
    for _ in range(int(4 * TRIAL_S / 30.0)):
        bench.run(30.0)
        served |= let_off(bench)
        assert shown_load(bench) <= RELIEF_LOAD
    assert served == {1, 3, 5, 7, 9}


def test_a_row_that_must_be_safe_takes_relief_back_within_a_second() -> None:
    bench = row(chat=1.5)
    bench.demand(420.0)
    bench.run(60.0)
    assert let_off(bench)
    for paper in bench.papers:
        paper.host_watts += 200.0
    bench.run(1.0)
    assert let_off(bench) == set()


def test_a_killed_coordinators_relief_ends_with_its_leases() -> None:
    bench = row(chat=1.5)
    bench.demand(420.0)
    bench.run(60.0)
    bench.leaders()[0].process.kill()
    bench.run(7.0)
    assert all(
        limit <= agent.record.safe_watts[i]
        for agent, paper in zip(bench.agents, bench.papers, strict=True)
        for i, limit in enumerate(paper.limits)
        if agent.record.armed
    )


@pytest.mark.slow
@settings(max_examples=min(15, settings().max_examples // 3), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    demands=st.lists(st.floats(80.0, 420.0), min_size=NODES, max_size=NODES),
    misses=st.lists(st.one_of(st.none(), st.floats(-1.0, 10.0)), min_size=NODES, max_size=NODES),
)
def test_whatever_is_missed_relief_alone_never_takes_the_row_above_its_bound(
    seed: int, demands: list[float], misses: list[float | None]
) -> None:
    bench = Bench(seed=seed, document=RELIEVING)
    for paper, demand, missed in zip(bench.papers, demands, misses, strict=True):
        paper.demand_watts = demand
        bench.site.services[paper.rating.node] = (ServiceReport("default/chat", missed),)
    bench.run(20.0)
    for _ in range(80):
        bench.run(0.5)
        assert shown_load(bench) <= RELIEF_LOAD + 1e-9


def test_what_a_service_bounds_is_restored_on_release() -> None:
    bench = Bench(seed=40)
    services = {**bench.site.domain.services, "default/code": ServiceTerms(max_watts=180.0)}
    bench.site.declare(replace(bench.site.domain, services=services))
    bench.run(30.0)
    assert {watts for paper in bench.papers[0::2] for watts in paper.limits} == {180.0}
    assert {watts for paper in bench.papers[1::2] for watts in paper.limits} == {400.0}
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(60.0)
    assert bench.armed() == []
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_misses_everywhere_is_restored_on_release(seed: int) -> None:
    bench = row(seed=30 + seed, chat=10.0)
    bench.demand(420.0)
    bench.run(60.0)
    bench.demand(150.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(120.0)
    assert bench.armed() == []
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)
