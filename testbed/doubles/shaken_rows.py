"""
A row of ten small nodes on paper, to be shaken: what the protocol's property tests drive.

Every node is an agent and a guard in virtual time with GPUs that draw what is asked, up
to their limit times the sensor's gain, the worst that a meter may hide. At every tick
the row notes what S1 and S2 promise, so that a test only has to shake it and look.
"""

import math
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from loadline_policies.decisions import Decision
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.messages import ServiceReport
from loadline_policies.power.rows import Cap, Caps, Row
from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, GpuRating, NodeRating
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.links import Link
from loadline_sim.virtual.sites import Site
from loadline_sim.virtual.worlds import World

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
RELIEF_LOAD = 0.95
TICK_S = 0.05


def _hold_all(row: Row, state: object, config: object, now: float) -> Decision[Caps, object]:  # noqa: PLR0917
    """Watt limits for both classes, which high priority may be let off while there is room."""
    caps = Caps(
        low=Cap(watts=150.0), high=Cap(watts=200.0), level="Held", next_load=1.0, relief_load=RELIEF_LOAD
    )
    return Decision(caps, state)


RELIEVING = replace(STATIC, policy=replace(STATIC.policy, decide=_hold_all))
"""Unlike clocks, watts show on paper; so here it shows whom relief lets off."""


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
    requested: dict[int, float] = field(default_factory=dict)
    in_force_s: list[float] = field(default_factory=lambda: [0.0] * GPUS)

    def true_watts(self) -> float:
        return self.host_watts + sum(min(self.demand_watts, SENSOR_GAIN * limit) for limit in self.limits)

    def watts(self) -> list[float]:
        return [min(self.demand_watts, SENSOR_GAIN * limit) / SENSOR_GAIN for limit in self.limits]

    def enforced_watts(self) -> list[float]:
        return list(self.limits)

    def requested_watts(self) -> list[float]:
        return [self.requested.get(index, limit) for index, limit in enumerate(self.limits)]

    def set_limit(self, index: int, watts: float) -> None:
        def act() -> None:
            self.limits[index] = watts

        self.orders.append((index, watts))
        self.requested[index] = watts
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
            services={"default/chat": ServiceTerms(priority=100), "default/code": ServiceTerms()},
        )
        self.site = Site(self.world, link, domain, candidates=("node-0", "node-1", "node-2"))
        self.papers = [Paper(self.world, self.random, rating) for rating in ratings]
        self.agents: list[Agent] = []
        for i, paper in enumerate(self.papers):
            self.site.owners[f"node-{i}"] = ("default/chat",) if i % 2 else ("default/code",)
            agent = Agent(self.site, paper, phase_s=self.random.random())
            self.agents.append(agent)
            self.world.every(
                0.25, partial(agent.process.happens, agent.sampled), first_s=self.random.random() / 4
            )
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
            self.heat = CURVE.heated(self.heat, load=self.load(), dt_s=TICK_S)
            self.most_heat = max(self.most_heat, self.heat)
            self.safe_sums.append(self.safe_sum_watts())

    def _watch_steps(self, agent: Agent) -> None:
        """Note every node whose limits, once it stepped down, are ordered higher than they were."""
        step_down = agent.gpus.step_down

        def watched(now: float) -> None:
            paper = self.papers[int(agent.name.removeprefix("node-"))]
            before, told = list(paper.limits), len(paper.orders)
            step_down(now)
            if any(watts > before[index] for index, watts in paper.orders[told:]):
                self.raised_at_deadline.append(agent.name)

        agent.gpus.step_down = watched  # type: ignore[method-assign]


def happen(bench: Bench, kind: str, *, index: int) -> None:
    """Let one thing befall the row; `index` says to whom."""
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
        case "missed":
            for paper in bench.papers:
                node = paper.rating.node
                missed = bench.random.choice([None, -1.0, 0.5, 0.95, bench.random.uniform(1.0, 10.0)])
                bench.site.services[node] = (ServiceReport("default/chat", missed),)
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
