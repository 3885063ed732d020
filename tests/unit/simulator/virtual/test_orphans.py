"""
A domain is deleted while its nodes are armed: they are nobody's, and at safe, until they are taken over.

Whoever could lead the old domain dies with it, and comes back as a candidate of another domain, or of one
of the same name, which selects the nodes now.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from loadline_policies.power.protocol.elections import Record
from loadline_policies.power.protocol.messages import Act, Lease
from loadline_policies.power.safety.breakers import TRIP
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.kube_leases import KubeLease
from testbed.shaken_rows.papers import GPUS
from testbed.shaken_rows.rows import BUDGET_WATTS, CURVE, NODES, Bench

OLD, NEW = "row", "row-b"


@dataclass
class TakeOvers:
    """Orders of a domain that hasn't armed the node itself: who was taken over, and what is wrong."""

    nodes: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def watch(self, agent: Agent) -> None:
        carry_out = agent.gpus.carry_out

        def watched(lease: Lease, deadline_s: float, now: float) -> int:
            record, held = agent.record, agent.gpus.hardware.requested_watts()
            if record.armed and record.domain != lease.domain:
                self.nodes.add(agent.name)
                if lease.act is not Act.ENFORCE:
                    self.wrong.append(f"{agent.name} was released")
                pairs = zip(lease.limits, held, strict=False)
                self.wrong += [f"{agent.name} was raised" for one, watts in pairs if one.watts > watts + 0.5]
            return carry_out(lease, deadline_s, now)

        agent.gpus.carry_out = watched  # type: ignore[method-assign]


def deleted(bench: Bench, *, enforce: bool = True, name: str = NEW, share: float = 1.0) -> TakeOvers:
    """A row whose domain is gone with its leaders, and another selects its nodes; all agents are back."""
    seen = TakeOvers()
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(5.0)
    leaders = bench.agents[: len(bench.candidates)]
    for agent in leaders:
        agent.process.kill()
    site = bench.site
    site.lease = KubeLease(Record(uid="another", candidates=site.candidates))
    site.domain = replace(site.domain, name=name, enforce=enforce, budget_watts=share * BUDGET_WATTS)
    bench.run(10.0)
    for agent in leaders:
        agent.start(bench.random.random())
    for agent in bench.agents:
        seen.watch(agent)
    return seen


def gone(bench: Bench, names: Iterable[str] = ()) -> None:
    """These nodes, or all, have asked the API server for their domain twice, and it is gone."""
    bench.site.gone |= dict.fromkeys(names or [agent.name for agent in bench.agents], OLD)


def owners(bench: Bench) -> list[str]:
    return [agent.record.domain if agent.armed else "" for agent in bench.agents]


def limits(bench: Bench) -> list[list[float]]:
    return [list(paper.limits) for paper in bench.papers]


def test_a_node_is_not_taken_over_as_long_as_its_domain_may_only_be_out_of_sight() -> None:
    bench = Bench(seed=3)
    seen = deleted(bench)
    before = limits(bench)
    bench.run(300.0)
    assert owners(bench) == [OLD] * NODES
    assert limits(bench) == before
    assert not seen.nodes
    assert bench.load() <= 1.0


def test_orphans_are_taken_over_armed_and_raised_by_nobody() -> None:
    bench = Bench(seed=3)
    seen = deleted(bench)
    bench.run(40.0)
    gone(bench)
    bench.run(30.0)
    assert owners(bench) == [NEW] * NODES
    assert len(seen.nodes) == NODES
    assert seen.wrong == []
    assert bench.safe_sum_watts() <= bench.site.domain.budget_watts
    bench.run(60.0)
    assert bench.load() <= CURVE.borne_load
    assert bench.most_heat < TRIP
    bench.demand(150.0)
    bench.run(120.0)
    assert limits(bench) == [[400.0] * GPUS] * NODES, "it is an ordinary member then"


@pytest.mark.slow
def test_a_free_row_takes_over_without_a_raise_too_and_raises_later() -> None:
    """Its coordinator may raise freely by then: what the last node had would else be given up at once."""
    bench = Bench(seed=3)
    seen = deleted(bench)
    *most, last = bench.agents
    gone(bench, [agent.name for agent in most])
    bench.demand(150.0)
    bench.run(60.0)
    assert [paper.limits for paper in bench.papers[:-1]] == [[400.0] * GPUS] * (NODES - 1)
    assert last.record.domain == OLD
    gone(bench, [last.name])
    bench.run(30.0)
    assert last.record.domain == NEW
    assert seen.wrong == []
    assert limits(bench) == [[400.0] * GPUS] * NODES


@pytest.mark.slow
def test_one_that_is_released_later_gets_back_what_was_found_at_first() -> None:
    bench = Bench(seed=3)
    for paper in bench.papers:
        paper.limits = [390.0] * GPUS
    deleted(bench)
    gone(bench)
    bench.run(60.0)
    bench.demand(150.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(200.0)
    assert owners(bench) == [""] * NODES
    assert limits(bench) == [[390.0] * GPUS] * NODES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("enforce", "share"), [(False, 1.0), (True, 0.5)], ids=["it only observes", "it can't hold them"]
)
def test_a_domain_that_does_not_plan_for_them_takes_over_and_releases_nobody(
    enforce: bool, share: float
) -> None:
    bench = Bench(seed=3)
    seen = deleted(bench, enforce=enforce, share=share)
    gone(bench)
    before = limits(bench)
    bench.demand(150.0)
    bench.run(200.0)
    assert owners(bench) == [OLD] * NODES
    assert limits(bench) == before
    assert not seen.nodes


@pytest.mark.slow
def test_a_domain_of_the_same_name_goes_on_where_the_old_one_ended() -> None:
    bench = Bench(seed=3)
    deleted(bench, name=OLD)
    bench.run(60.0)
    assert owners(bench) == [OLD] * NODES
    assert bench.load() <= 1.0
    bench.demand(150.0)
    bench.run(120.0)
    assert limits(bench) == [[400.0] * GPUS] * NODES


@pytest.mark.slow
def test_a_person_releases_an_orphan_and_the_domain_that_selects_it_arms_it_as_any_other() -> None:
    bench = Bench(seed=3)
    deleted(bench, enforce=False)
    gone(bench)
    bench.demand(150.0)
    bench.agents[4].release()
    bench.run(20.0)
    assert owners(bench) == [OLD] * 4 + [""] + [OLD] * (NODES - 5)
    assert bench.papers[4].limits == [400.0] * GPUS
    bench.site.declare(replace(bench.site.domain, enforce=True))
    bench.run(60.0)
    assert owners(bench) == [NEW] * NODES


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["gone", "back", "kill", "fail", "heal", "demand", "observe", "enforce", "by hand"]),
        st.integers(0, NODES - 1),
        st.floats(0.5, 20.0),
    ),
    max_size=12,
)


def happen(bench: Bench, kind: str, index: int) -> None:
    agent, site = bench.agents[index], bench.site
    match kind:
        case "gone":
            gone(bench, [one.name for one in bench.agents[: index + 1]])
        case "back":
            site.gone.pop(agent.name, None)
        case "kill":
            agent.process.kill()
            agent.start(1.0)
        case "fail":
            agent.gpus.failing = {0, 1}
        case "heal":
            agent.gpus.failing = set()
        case "demand":
            bench.demand(420.0 if index % 2 else 150.0)
        case "observe" | "enforce":
            site.declare(replace(site.domain, enforce=kind == "enforce"))
        case "by hand" if index == 0:
            agent.release()


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), events=EVENTS)
def test_whatever_happens_nobody_is_raised_or_released_by_a_take_over(
    seed: int, events: list[tuple[str, int, float]]
) -> None:
    bench = Bench(seed=seed)
    seen = deleted(bench)
    note(f"seed {seed}")
    for kind, index, wait_s in events:
        happen(bench, kind, index)
        bench.run(wait_s)
        assert seen.wrong == []
    assert bench.raised_at_deadline == []
