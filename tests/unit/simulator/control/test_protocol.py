"""
S1, S2 and «no limit rises at a deadline» under random interleavings.

A row of ten small nodes, driven by the same pure protocol as the real agents, goes
through messages lost, late and repeated, crashes, stopped processes, an absent API
server, coordinators that wrongly believe to lead, and the worst load at any moment.
"""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from loadline_policies.documents import SCHEMA, PowerDocument, parse_power
from loadline_policies.power.breakers import TRIP, WARM, Curve
from loadline_policies.power.domains import Domain
from loadline_policies.power.messages import SENSOR_GAIN
from loadline_policies.power.safe_states import GpuRating, NodeRating
from loadline_sim.control.agents import Agent
from loadline_sim.control.links import Link
from loadline_sim.control.sites import Site
from loadline_sim.control.worlds import World

NODES, GPUS = 10, 2
HOST_WATTS = 650.0
BUDGET_WATTS = NODES * 1169.25
CURVE = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)))
POLCA = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
    f"settings: {{threshold1Percent: 90, threshold2Percent: 95, actuationMillis: 500}}"
)
STATIC = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: static-cap\nsettings: {{lowWatts: 180, highWatts: 300}}"
)
TICK_S = 0.05


@dataclass
class Paper:
    """GPUs on paper: they draw what is asked, up to their limit times the sensor's gain."""

    world: World
    random: Random
    rating: NodeRating
    host_watts: float = HOST_WATTS
    demand_watts: float = 100.0
    limits: list[float] = field(default_factory=lambda: [400.0] * GPUS)
    orders: list[tuple[int, float]] = field(default_factory=list)
    in_force_s: list[float] = field(default_factory=lambda: [0.0] * GPUS)

    def true_watts(self) -> float:
        return self.host_watts + sum(min(self.demand_watts, SENSOR_GAIN * limit) for limit in self.limits)

    def watts(self) -> list[float]:
        return [min(self.demand_watts, SENSOR_GAIN * limit) / SENSOR_GAIN for limit in self.limits]

    def enforced_watts(self) -> list[float]:
        return list(self.limits)

    def set_limit(self, index: int, watts: float) -> None:
        def act() -> None:
            self.limits[index] = watts

        self.orders.append((index, watts))
        lands_s = max(self.in_force_s[index], self.world.now + self.random.uniform(0.01, 0.2))
        self.in_force_s[index] = lands_s
        self.world.at(lands_s, act)

    def set_clock(self, index: int, mhz: int | None) -> None:
        pass


@dataclass
class Bench:
    """A row under test, with what must hold checked at every tick."""

    seed: int
    loss: float = 0.0
    repeat: float = 0.0
    most_delay_s: float = 0.02
    document: PowerDocument = POLCA
    enforce: bool = True
    heat: float = WARM
    promised: bool = False

    def __post_init__(self) -> None:
        self.world = World(now=1000.0)
        self.random = Random(self.seed)
        link = Link(self.world, self.random, most_s=self.most_delay_s, loss=self.loss, repeat=self.repeat)
        ratings = [
            NodeRating(
                node=f"node-{i}",
                host_max_watts=HOST_WATTS,
                gpus=tuple(GpuRating(f"gpu-{i}-{j}", 100.0, 400.0) for j in range(GPUS)),
            )
            for i in range(NODES)
        ]
        domain = Domain(
            name="row",
            budget_watts=BUDGET_WATTS,
            members=frozenset(rating.node for rating in ratings),
            document=self.document,
            enforce=self.enforce,
            curve=CURVE,
            ratings={rating.node: rating for rating in ratings},
            priorities={"default/chat": 100, "default/code": 0},
        )
        self.site = Site(self.world, link, domain, candidates=("node-0", "node-1", "node-2"))
        self.papers = [Paper(self.world, self.random, rating) for rating in ratings]
        self.agents: list[Agent] = []
        for i, paper in enumerate(self.papers):
            self.site.owners[f"node-{i}"] = ("default/chat",) if i % 2 else ("default/code",)
            agent = Agent(self.site, paper, phase_s=self.random.random())
            self.agents.append(agent)
            self.world.every(0.25, partial(agent.process.happens, agent.sampled), self.random.random() / 4)
        self.world.every(TICK_S, self._tick)
        self.raised_at_deadline: list[str] = []
        for agent in self.agents:
            self._watch_steps(agent)
        self.safe_sums: list[float] = []
        self.most_heat = self.heat

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def demand(self, watts: float) -> None:
        for paper in self.papers:
            paper.demand_watts = watts

    def load(self) -> float:
        """The domain's true draw: members, and who has left but isn't released."""
        return sum(paper.true_watts() for paper in self.papers if self.counts(paper)) / BUDGET_WATTS

    def counts(self, paper: "Paper") -> bool:
        name = paper.rating.node
        return name in self.site.domain.members or self.site.peers[name].armed

    def armed(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.record.armed]

    def leaders(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.coordinator is not None]

    def safe_sum_watts(self) -> float:
        """What the domain's armed nodes fall to at worst: members, and who left and is known to have."""
        known = {name for a in self.leaders() if a.coordinator is not None for name in a.coordinator.members}
        names = self.site.domain.members | known
        return sum(
            HOST_WATTS + SENSOR_GAIN * sum(a.record.safe_watts) for a in self.armed() if a.name in names
        )

    def _tick(self) -> None:
        """S1 and S2 are promised once every node is armed, with a breaker that may be warm."""
        joined = [agent for agent in self.agents if agent.name in self.site.domain.members]
        self.promised = all(agent.record.armed for agent in joined)
        if self.promised:
            self.heat = CURVE.heated(self.heat, self.load(), TICK_S)
            self.most_heat = max(self.most_heat, self.heat)
            self.safe_sums.append(self.safe_sum_watts())

    def _watch_steps(self, agent: Agent) -> None:
        """Note every node whose limits, once it stepped down, are ordered higher than they were."""
        step_down = agent._step_down

        def watched() -> None:
            paper = self.papers[int(agent.name.removeprefix("node-"))]
            before, told = list(paper.limits), len(paper.orders)
            step_down()
            if any(watts > before[index] for index, watts in paper.orders[told:]):
                self.raised_at_deadline.append(agent.name)

        agent._step_down = watched  # type: ignore[method-assign]


def test_a_quiet_row_is_armed_within_seconds_and_left_alone() -> None:
    bench = Bench(seed=1)
    bench.run(30.0)
    assert len(bench.armed()) == NODES
    assert len(bench.leaders()) == 1
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)


def test_observe_writes_nothing() -> None:
    bench = Bench(seed=1, enforce=False)
    bench.demand(420.0)
    bench.run(60.0)
    assert bench.armed() == []
    assert all(paper.limits == [400.0] * GPUS for paper in bench.papers)
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    assert leader.brakes >= 1


def test_the_worst_load_is_braked_within_a_second() -> None:
    bench = Bench(seed=2)
    bench.run(30.0)
    bench.demand(420.0)
    assert bench.load() > 1.2
    bench.run(1.0)
    assert bench.load() <= 1.0


def test_a_killed_coordinator_leaves_every_node_safe_until_the_next_one_leads() -> None:
    bench = Bench(seed=3)
    bench.run(30.0)
    bench.leaders()[0].process.kill()
    bench.demand(420.0)
    bench.run(7.0)
    assert bench.load() <= 1.0
    bench.demand(150.0)
    bench.run(40.0)
    assert len(bench.leaders()) == 1


def test_an_absent_api_server_keeps_the_row_led_and_raises_nobody() -> None:
    bench = Bench(seed=4)
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(12.0)
    bench.site.lease.available = False
    bench.run(10.5)
    bench.demand(150.0)
    limits = [list(paper.limits) for paper in bench.papers]
    bench.run(50.0)
    assert len(bench.leaders()) == 1
    assert all(
        new <= old
        for p, before in zip(bench.papers, limits, strict=True)
        for new, old in zip(p.limits, before, strict=True)
    )


def test_release_restores_what_was_found_and_disarms() -> None:
    bench = Bench(seed=5)
    for paper in bench.papers:
        paper.limits = [390.0] * GPUS
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(20.0)
    bench.demand(150.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    bench.run(120.0)
    assert bench.armed() == []
    assert all(paper.limits == [390.0] * GPUS for paper in bench.papers)


def test_release_waits_for_headroom() -> None:
    bench = Bench(seed=6)
    bench.run(30.0)
    bench.demand(420.0)
    bench.run(20.0)
    bench.site.declare(replace(bench.site.domain, enforce=False))
    for _ in range(600):
        bench.run(0.1)
        assert bench.load() <= 1.05


def test_a_smaller_budget_lowers_safe_limits_and_one_that_cant_hold_is_refused() -> None:
    bench = Bench(seed=7)
    bench.run(30.0)
    smaller = replace(bench.site.domain, budget_watts=0.97 * BUDGET_WATTS)
    bench.site.declare(smaller)
    bench.run(5.0)
    assert bench.safe_sum_watts() <= smaller.budget_watts
    bench.site.declare(replace(bench.site.domain, budget_watts=1000.0))
    bench.run(5.0)
    leader = bench.leaders()[0].coordinator
    assert leader is not None
    assert leader.problem is not None
    assert leader.problem.reason == "BudgetTooSmall"
    assert leader.domain.budget_watts == smaller.budget_watts
    assert len(bench.armed()) == NODES


EVENTS = st.lists(
    st.tuples(
        st.floats(0.05, 8.0),
        st.sampled_from(
            [
                "kill",
                "restart",
                "stop",
                "resume",
                "api",
                "usurp",
                "worst",
                "idle",
                "mixed",
                "mode",
                "budget",
                "member",
            ]
        ),
        st.integers(0, NODES - 1),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    repeat=st.sampled_from([0.0, 0.2]),
    most_delay_s=st.sampled_from([0.02, 0.5, 3.0]),
    document=st.sampled_from([POLCA, STATIC]),
    events=EVENTS,
)
def test_no_interleaving_trips_the_breaker_or_raises_a_limit_at_a_deadline(
    seed: int,
    loss: float,
    repeat: float,
    most_delay_s: float,
    document: PowerDocument,
    events: list[tuple[float, str, int]],
) -> None:
    note(f"seed {seed}")
    bench = Bench(seed=seed, loss=loss, repeat=repeat, most_delay_s=most_delay_s, document=document)
    bench.run(40.0)
    for seconds, kind, index in events:
        _happen(bench, kind, index)
        bench.run(seconds)
    _happen(bench, "worst", 0)
    bench.run(60.0)
    assert bench.raised_at_deadline == []
    assert max(bench.safe_sums, default=0.0) <= BUDGET_WATTS
    assert bench.most_heat < TRIP


def _happen(bench: Bench, kind: str, index: int) -> None:
    agent = bench.agents[index]
    match kind:
        case "kill":
            agent.process.kill()
        case "restart" if not agent.process.up:
            agent.start()
        case "stop" if agent.process.up:
            agent.process.stop()
        case "resume" if agent.process.up:
            agent.process.resume()
        case "api":
            bench.site.lease.available = not bench.site.lease.available
        case "usurp":
            _usurp(bench, index % 3)
        case "worst":
            bench.demand(420.0)
        case "idle":
            bench.demand(80.0)
        case "mixed":
            for paper in bench.papers:
                paper.demand_watts = bench.random.uniform(80.0, 420.0)
        case "mode":
            bench.site.declare(replace(bench.site.domain, enforce=True))
        case "member":
            domain = bench.site.domain
            bench.site.declare(replace(domain, members=domain.members ^ {f"node-{3 + index % 7}"}))
        case "budget":
            bench.site.declare(
                replace(bench.site.domain, budget_watts=bench.random.choice([0.97, 1.0, 0.2]) * BUDGET_WATTS)
            )


def _usurp(bench: Bench, index: int) -> None:
    """Somebody takes the Kubernetes Lease although its holder is alive: two believe to lead."""
    agent, lease = bench.agents[index], bench.site.lease
    if (
        agent.process.up
        and not agent.process.stopped
        and lease.available
        and lease.record.holder != agent.name
    ):
        agent.leader.lead()


@pytest.mark.parametrize("index", range(3))
def test_one_node_dead_with_its_guard_is_borne(index: int) -> None:
    bench = Bench(seed=20 + index)
    bench.run(30.0)
    dead = bench.agents[3 + index]
    dead.process.kill()
    dead.record.armed = False
    bench.demand(420.0)
    bench.run(120.0)
    assert bench.most_heat < TRIP
    assert bench.load() <= CURVE.borne_load
