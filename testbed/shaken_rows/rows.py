"""A row of ten nodes on paper. At every tick it notes what S1 and S2 promise, so that a test only looks."""

import math
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from loadline_policies.decisions import Decision
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.rows import Cap, Caps, Row
from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, GpuRating, NodeRating
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.links import Link
from loadline_sim.virtual.sites import Site
from loadline_sim.virtual.worlds import World
from testbed.shaken_rows.papers import GPUS, HOST_WATTS, Paper

NODES = 10
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

    def counts(self, paper: Paper) -> bool:
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
