"""
The demo's row in virtual time: the plant, an agent and a guard on every node, and the demo's script.

Every decision is made by the product's own code: the policy, the coordinator, the node's acceptance
of leases. Only the network, the API server and the hardware are models.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np

from loadline_api.journals import Component, Journal
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidPolicy
from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.polca import Config
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_sim.arrays import Floats
from loadline_sim.demo import acts, scenarios
from loadline_sim.demo.acts import Cue
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant import hardware
from loadline_sim.plant.plants import Plant
from loadline_sim.plant.reactions import ReactionMeter, Threshold
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.links import Link
from loadline_sim.virtual.plant_gpus import PlantBoard, nodes_of
from loadline_sim.virtual.sites import Site
from loadline_sim.virtual.worlds import World

SAMPLES_PER_S = 4
LEAD_S = 30.0
"""Seconds before the window in which agents start and a coordinator is elected."""

SERVICES = {"default/chat": ServiceTerms(priority=100), "default/code": ServiceTerms()}


class VirtualRow:
    """The row with Loadline, from the window's start to the last cue.

    `on_tick` is called after every tick of the plant with the time in the window. `journalled` gets each line
    of the coordinators' journals, whose wall clock begins with the row at 1970-01-01.
    """

    def __init__(
        self,
        scenario: Scenario,
        model: ServerModel,
        *,
        seed: int = 1,
        journalled: Callable[[str], None] | None = None,
    ) -> None:
        services = scenarios.alternating(scenario.servers)
        requests = scenarios.arrivals_of(scenario, services, model=model, stress=scenario.stress)
        self.scenario, self.services = scenario, services
        self.world = World(now=-LEAD_S)
        self.plant: Plant = scenarios.plant_of(scenario, requests, model)
        self.board = PlantBoard(
            self.world, self.plant, max_watts=model.watts.tdp_watts, max_mhz=int(model.watts.full_mhz)
        )
        random = Random(seed)
        names = [f"node-{i:02}" for i in range(scenario.servers)]
        nodes = nodes_of(self.board, names, min_watts=model.min_limit_watts)
        self.low = np.array([service == "code" for service in services])
        self.reactions = ReactionMeter(self.low)
        domain = Domain(
            name=scenario.name,
            budget_watts=scenario.budget_watts,
            members=frozenset(names),
            document=parse_power(acts.POLICY),
            curve=scenarios.CURVE,
            ratings={node.rating.node: node.rating for node in nodes},
            services=SERVICES,
        )
        self.site = Site(self.world, Link(self.world, random), domain, candidates=tuple(names[:5]))
        if journalled is not None:
            self.site.journal_of = partial(_journal, self.world, journalled)
        self.agents = []
        for node, service in zip(nodes, services, strict=True):
            self.site.owners[node.rating.node] = (f"default/{service}",)
            self.agents.append(Agent(self.site, node, phase_s=random.random()))
        self._offsets = np.array([random.randrange(10) for _ in names])
        self._killed: Agent | None = None
        self.refusals: list[tuple[float, str]] = []
        self.policy_edits_s: list[tuple[float, float]] = []
        self.on_tick: Callable[[float], None] = lambda now_s: None
        for act in acts.ACTS:
            for at_s, cue in act.cues:
                self.world.at(at_s, partial(self._perform, cue))
        self.world.every(hardware.TICK_S, self._tick, first_s=LEAD_S)

    @property
    def leader(self) -> Coordinator | None:
        """The coordinator that leads the row now; None during an election."""
        return next((agent.coordinator for agent in self.agents if agent.coordinator is not None), None)

    @property
    def level(self) -> str:
        """The coordinator's level, `Leaderless` without a coordinator."""
        leader = self.leader
        return leader.level if leader is not None else "Leaderless"

    @property
    def limit_watts(self) -> Floats:
        """The lowest limit in force on each server, in watts."""
        lowest: Floats = self.board.limits.in_force.min(axis=1)
        return lowest

    @property
    def locked_mhz(self) -> Floats:
        """The lowest clock locked on each server, in MHz."""
        lowest: Floats = self.board.clocks.in_force.min(axis=1)
        return lowest

    def run_until(self, end_s: float) -> None:
        """Continue to a time in the window, in seconds."""
        self.world.run_until(end_s)

    def thresholds(self) -> tuple[Threshold, ...]:
        """What the policy in force requires from which load on; the last one is the brake."""
        config = self.site.domain.document.config
        assert isinstance(config, Config)
        leader = self.leader
        safety = leader.safety if leader is not None else None
        safe = max(safety.limits.values()) + 1.0 if safety is not None and safety.limits else float("inf")
        return (
            Threshold(config.threshold1_percent / 100, low_clock_mhz=config.low_shallow_mhz),
            Threshold(config.threshold2_percent / 100, low_clock_mhz=config.low_deep_mhz),
            Threshold(1.0, limit_watts=safe),
        )

    def limits_left(self) -> int:
        """The number of GPUs whose limit or clock differs from the original one."""
        limits, clocks = self.board.limits.in_force, self.board.clocks.in_force
        return int(((limits != self.board.max_watts) | (clocks != self.board.max_mhz)).sum())

    def _tick(self) -> None:
        if self.board.changed:
            self.board.changed = False
            self.plant.set_limits(self.board.limits.in_force, self.board.clocks.in_force.astype(np.int64))
        self.plant.step()
        now_s = self.plant.now_s
        self._sample()
        self._measure(now_s)
        self.on_tick(now_s)

    def _sample(self) -> None:
        """Every agent samples its GPUs four times a second, at its own offset."""
        turn = self.plant.ticks % round(1 / (SAMPLES_PER_S * hardware.TICK_S))
        for index in np.flatnonzero(self._offsets == turn):
            self.agents[index].process.happens(self.agents[index].sampled)

    def _measure(self, now_s: float) -> None:
        faulty = acts.act_at(now_s).name in acts.FAULTY
        leader = self.leader
        if faulty or leader is None or not all(agent.record.armed for agent in self.agents):
            self.reactions.forget()
            return
        load = self.plant.sensor_watts / self.scenario.budget_watts
        self.reactions.tick(
            now_s,
            load=load,
            thresholds=self.thresholds(),
            locked_mhz=self.locked_mhz,
            limit_watts=self.limit_watts,
        )

    def _perform(self, cue: Cue) -> None:
        match cue:
            case Cue.ENFORCE:
                self.site.declare(replace(self.site.domain, enforce=True))
            case Cue.EDIT_POLICY:
                self._edit(acts.EDITED_POLICY)
            case Cue.BREAK_POLICY:
                self._edit(acts.BROKEN_POLICY)
            case Cue.FIX_POLICY:
                self._edit(acts.EDITED_POLICY)
            case Cue.KILL_COORDINATOR:
                self._killed = next(agent for agent in self.agents if agent.coordinator is not None)
                self._killed.process.kill()
            case Cue.RESTART_AGENT:
                if self._killed is not None:
                    self._killed.start()
            case Cue.API_AWAY | Cue.API_BACK:
                self.site.lease.available = cue is Cue.API_BACK
            case Cue.STOP_AGENT:
                self.agents[-1].process.stop()
            case Cue.RESUME_AGENT:
                self.agents[-1].process.resume()
            case Cue.RELEASE:
                self.site.declare(replace(self.site.domain, enforce=False))
            case Cue.OBSERVE | Cue.STRESS | Cue.END:
                pass

    def _edit(self, text: str) -> None:
        """Edit the policy's ConfigMap: the coordinator receives it, and rejects an invalid document."""
        try:
            document = parse_power(text)
        except InvalidPolicy as refused:
            self.refusals.append((self.world.now, str(refused)))
            return
        self.site.declare(replace(self.site.domain, document=document))


def _journal(world: World, journalled: Callable[[str], None], node: str) -> Journal:
    return Journal(
        Component.AGENT,
        node=node,
        wall=lambda: world.now + LEAD_S,
        written=lambda entry, line: journalled(line),
        most=0,
    )
