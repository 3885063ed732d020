"""
A row of nodes on paper: agents, guards, the network, the API server, and GPUs that draw all they may.

At every tick it notes the true heat and what the nodes would fall to, so that a test only looks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from loadline_api.journals import Component, Journal, JournalEntry
from loadline_policies.decisions import Decision
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.messages import Epoch, Report
from loadline_policies.power.rows import Cap, Caps, Row
from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, GpuRating, NodeRating, Timings
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.links import Link, Reply
from loadline_sim.virtual.sites import Site
from loadline_sim.virtual.worlds import World
from testbed.shaken_rows.node_watches import watch_leases, watch_reports, watch_steps
from testbed.shaken_rows.papers import GPUS, HOST_WATTS, MAX_WATTS, MIN_WATTS, Paper

NODES = 10
SHARE_WATTS = 1169.25
BUDGET_WATTS = NODES * SHARE_WATTS
"""Of a row of `NODES`: at their maximum they draw 1.27 of it, and it bears one of them at that for ever."""

CANDIDATES = 3
LEASE_S = Timings().lease_s
CURVE = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)))
POLCA = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
    f"settings: {{threshold1Percent: 90, threshold2Percent: 95, actuationMillis: 500}}"
)
STATIC = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: static-cap\nsettings: {{lowWatts: 180, highWatts: 300}}"
)
RELIEF_LOAD = 0.95
TICK_S = 0.1
WATCHED_S = 1.0
"""How late a coordinator sees what a NodeCapacity says."""


def _hold_all(row: Row, state: object, config: object, now: float) -> Decision[Caps, object]:  # noqa: PLR0917
    """Watt limits for both classes, which high priority may be let off while there is room."""
    caps = Caps(
        low=Cap(watts=150.0), high=Cap(watts=200.0), level="Held", next_load=1.0, relief_load=RELIEF_LOAD
    )
    return Decision(caps, state)


RELIEVING = replace(STATIC, policy=replace(STATIC.policy, decide=_hold_all))
"""Unlike clocks, watts show on paper; so here it shows whom relief lets off."""


def _limit_nobody(row: Row, state: object, config: object, now: float) -> Decision[Caps, object]:  # noqa: PLR0917
    """A policy that asks for nothing at any load: what then keeps the breaker is the protocol alone."""
    return Decision(Caps(level="Careless", next_load=2.0), state)


CARELESS = replace(STATIC, policy=replace(STATIC.policy, decide=_limit_nobody))


class Heard:
    """An agent as the others hear it: what `twists` makes of a broken or hostile member's reports."""

    def __init__(self, bench: "Bench", agent: Agent) -> None:
        self._bench, self._agent = bench, agent

    @property
    def armed(self) -> bool:
        """Whether its NodeCapacity says that it enforces."""
        return self._agent.armed

    def declared(self) -> None:
        """The API server's watch brings a change of the domain."""
        self._agent.declared()

    def reported(self, report: Report, reply: Reply) -> None:
        """A report arrives from a member, as it says it."""
        if self._agent.coordinator is not None:
            self._bench.heard_s[report.node] = self._bench.world.now
        twist = self._bench.twists.get(report.node)
        self._agent.reported(twist(report) if twist is not None else report, reply)


@dataclass
class Bench:
    """A row under test. `drift` is by how much the nodes' clocks go too fast or too slow at most.

    `journalled` gets each line of the coordinators' journals, if anybody wants them.
    """

    seed: int
    loss: float = 0.0
    repeat: float = 0.0
    most_delay_s: float = 0.02
    document: PowerDocument = POLCA
    enforce: bool = True
    heat: float = WARM
    nodes: int = NODES
    lease_s: float = LEASE_S
    drift: float = 0.0
    journalled: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        self.world = World(now=1000.0)
        self.random = Random(self.seed)
        link = Link(self.world, self.random, most_s=self.most_delay_s, loss=self.loss, repeat=self.repeat)
        ratings = [_rating(i) for i in range(self.nodes)]
        self.site = Site(self.world, link, self._domain(ratings), candidates=self.candidates)
        if self.journalled is not None:
            self.site.journal_of = partial(_journal, self.world, self.journalled)
        self.papers = [Paper(self.world, self.random, rating) for rating in ratings]
        self._index = {rating.node: index for index, rating in enumerate(ratings)}
        self.agents: list[Agent] = []
        self.twists: dict[str, Callable[[Report], Report]] = {}
        self.heard_s: dict[str, float] = {}
        for i, paper in enumerate(self.papers):
            self.site.owners[f"node-{i}"] = ("default/chat",) if i % 2 else ("default/code",)
            agent = Agent(self.site, paper, phase_s=self.random.random())
            agent.process.pace = 1.0 + self.random.uniform(-self.drift, self.drift)
            agent.process.ahead_s = (1.0 - agent.process.pace) * self.world.now
            self.agents.append(agent)
            self.site.peers[agent.name] = Heard(self, agent)
            self.world.every(
                0.25, partial(agent.process.happens, agent.sampled), first_s=self.random.random() / 4
            )
        self.world.every(TICK_S, self._tick)
        self.world.every(WATCHED_S, self._watch_leavers)
        self.raised_at_deadline: list[str] = []
        self.understated: list[str] = []
        self.raised_by_former: list[str] = []
        for agent in self.agents:
            paper = self.paper(agent.name)
            watch_steps(agent, paper, self.raised_at_deadline)
            watch_reports(agent, paper, self.understated)
            watch_leases(agent, paper, self.raised_by_former, succeeded_s=self._succeeded_s)
        self._in_force = self.site.domain.members
        self.enlisted_s = self.world.now
        self.safe_sums: list[float] = []
        self.most_heat = self.heat
        self._epoch, self._epoch_s = self.site.lease.record.epoch, self.world.now

    def _domain(self, ratings: Sequence[NodeRating]) -> Domain:
        return Domain(
            name="row",
            budget_watts=self.budget_watts,
            members=frozenset(rating.node for rating in ratings),
            document=self.document,
            enforce=self.enforce,
            curve=CURVE,
            timings=Timings(lease_s=self.lease_s),
            ratings={rating.node: rating for rating in ratings},
            services={"default/chat": ServiceTerms(priority=100), "default/code": ServiceTerms()},
        )

    def paper(self, name: str) -> Paper:
        """A node's GPUs."""
        return self.papers[self._index[name]]

    def agent(self, name: str) -> Agent:
        """A node's agent."""
        return self.agents[self._index[name]]

    @property
    def budget_watts(self) -> float:
        """What the breaker is rated for."""
        return self.nodes * SHARE_WATTS

    @property
    def candidates(self) -> tuple[str, ...]:
        """The nodes that may lead."""
        return tuple(f"node-{i}" for i in range(CANDIDATES))

    def declare(self, domain: Domain) -> None:
        """Change what is declared; `enlisted_s` is when somebody last was to be enforced, or not any more."""
        before = self.site.domain
        if (domain.enforce, domain.members) != (before.enforce, before.members):
            self.enlisted_s = self.world.now
        self.site.declare(domain)

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def demand(self, watts: float) -> None:
        for paper in self.papers:
            paper.demand_watts = watts

    def load(self) -> float:
        """The domain's true draw: members, and who has left but isn't released."""
        return sum(paper.true_watts() for paper in self.papers if self.counts(paper)) / self.budget_watts

    def counts(self, paper: Paper) -> bool:
        """Whether the row answers for a node: a member, or one that has left and isn't released yet.

        Who joins by a declaration that is refused, or that nobody who leads can read, isn't a member.
        """
        name = paper.rating.node
        return self.site.peers[name].armed or name in self.site.domain.members & self._in_force

    def coordinators(self) -> list[Coordinator]:
        """All that lead the row, or believe to."""
        leading = [agent.coordinator for agent in self.agents[:CANDIDATES]]
        return [coordinator for coordinator in leading if coordinator is not None]

    def armed(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.record.armed]

    def leaders(self) -> list[Agent]:
        return [agent for agent in self.agents[:CANDIDATES] if agent.coordinator is not None]

    def safe_sum_watts(self) -> float:
        """What the domain's armed nodes fall to at worst: members, and who left and is known to have."""
        known = {name for leader in self.coordinators() for name in leader.members}
        names = self.site.domain.members | known
        return sum(
            HOST_WATTS + SENSOR_GAIN * sum(a.record.safe_watts) for a in self.armed() if a.name in names
        )

    def _tick(self) -> None:
        """The breaker heats from the first instant, and may have been warm; S1 needs every node armed."""
        self._succeeded_s(self._epoch)
        leaders = self.coordinators()
        if leaders:
            self._in_force = frozenset[str]().union(*(leader.domain.members for leader in leaders))
        self.heat = CURVE.heated(self.heat, load=self.load(), dt_s=TICK_S)
        self.most_heat = max(self.most_heat, self.heat)
        joined = [agent for agent in self.agents if agent.name in self.site.domain.members]
        if all(agent.record.armed for agent in joined):
            self.safe_sums.append(self.safe_sum_watts())

    def _watch_leavers(self) -> None:
        """Who has left and is released by now is seen by its NodeCapacity, as by the real watch."""
        leaving = {agent.name for agent in self.armed()} - self.site.domain.members
        if leaving != self.site.domain.leaving:
            self.site.declare(self.site.domain)

    def _succeeded_s(self, epoch: Epoch) -> float:
        """For how many seconds another epoch has stood in the Kubernetes Lease."""
        record = self.site.lease.record.epoch
        if record != self._epoch:
            self._epoch, self._epoch_s = record, self.world.now
        return self.world.now - self._epoch_s if epoch != record else 0.0


def _rating(index: int) -> NodeRating:
    gpus = tuple(GpuRating(f"gpu-{index}-{gpu}", MIN_WATTS, MAX_WATTS) for gpu in range(GPUS))
    return NodeRating(node=f"node-{index}", host_max_watts=HOST_WATTS, gpus=gpus)


def _journal(world: World, journalled: Callable[[str], None], node: str) -> Journal:
    written = partial(_pass_line, journalled)
    return Journal(Component.AGENT, node=node, wall=lambda: world.now, written=written, most=0)


def _pass_line(journalled: Callable[[str], None], entry: JournalEntry, line: str) -> None:
    journalled(line)
