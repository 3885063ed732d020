"""
Whether a row on paper keeps what it is promised, by what is true of it and not by what anybody believes.

Judged at every tick, from the first on. *S2*: the true heat stays below trip. *S1*: what the nodes
truly fall to with nobody's help is within the budget, wherever the lowest limits allow it, except
for `EXCUSED_S` after a fault or a change that somebody leads through, and except for k nodes within
what the breaker bears (0002, «S1»). No limit rises at a deadline. Where no plan can hold the row,
that is said, and the others are at their lowest, within `SAID_WITHIN_S` of the evidence. Nobody but
the row's own nodes is a member, and no fault disarms one. But for the heat all of it is promised
from when every node has been armed.

All of this is promised inside a *fault budget*: at any moment at most k nodes are outside the plan,
or more if the row can be held at its lowest limits and somebody leads it. A node is *outside* while
it doesn't fall to the safe limit that it should, and part of the plan again once somebody has led
for a reaction with the fault in sight. A row that is released isn't promised anything. `beyond_s` is
when a schedule left its fault budget; from then on S1, S2 and rises are judged no more.
"""

from dataclasses import dataclass, field
from typing import Final

from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.safety.breakers import TRIP, WARM
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, safe_limits, tolerated_silent_nodes
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.papers import GPUS, HOST_WATTS, MIN_WATTS
from testbed.shaken_rows.rows import CURVE, TICK_S, Bench

EXCUSED_S: Final = 40.0
SETTLE_S: Final = 3.0
RELEASED_S: Final = 8.0
"""How long a release that isn't wanted any more may still be on its way."""

SAID_WITHIN_S: Final = 5.0
SOON_S: Final = 0.1
TOLERANCE_WATTS: Final = 2.0
"""By how much limits and sums may differ for being whole watts."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that wasn't kept: `promise` is its short name."""

    promise: str
    at_s: float
    text: str


@dataclass(slots=True)
class _Outside:
    """A node that doesn't fall to its safe limit. `led_s` is how long somebody has led with it in sight."""

    watts: float
    led_s: float = 0.0


@dataclass
class Judge:
    """Looks at a row at every tick; `breaches` are what it found, the first of each kind.

    `most_heat` is that of the time inside the fault budget.
    """

    bench: Bench
    most_heat: float = WARM
    beyond_s: float | None = None
    breaches: dict[str, Breach] = field(default_factory=dict)
    unholdable_s: float = 0.0
    armed: bool = False

    def __post_init__(self) -> None:
        ratings = [paper.rating for paper in self.bench.papers]
        budget_watts = self.bench.budget_watts
        self.borne_watts = CURVE.borne_load * budget_watts
        limits = safe_limits(ratings, budget_watts)
        self.tolerated = tolerated_silent_nodes(ratings, limits, ceiling_watts=self.borne_watts)
        self._outside: dict[str, _Outside] = {}
        self._armed: frozenset[str] = frozenset()
        domain = self.bench.site.domain
        self._declared, self._declared_s = (domain.enforce, domain.members), self.bench.world.now
        self._excused_s = EXCUSED_S
        self._evident_s = 0.0
        self.bench.world.every(TICK_S, self.look)

    def excuse(self, seconds: float = EXCUSED_S) -> None:
        """A fault or a change begins now."""
        self._excused_s = max(self._excused_s, seconds)

    def look(self) -> None:
        """Judge this moment."""
        bench = self.bench
        if self.beyond_s is None:
            self.most_heat = max(self.most_heat, bench.heat)
        if not self.armed:
            self.armed = all(agent.record.armed for agent in bench.agents)
            return
        led = self._led()
        falls = {agent.name: falls_watts(bench, agent) for agent in bench.agents if _counts(bench, agent)}
        self._follow_outside(falls, led)
        if led:
            self._excused_s -= TICK_S
        if self.beyond_s is None and not (self._enforced() and self._inside(falls, led)):
            self.beyond_s = bench.world.now
        if self.beyond_s is None:
            self._judge_promises(falls)
        self._judge_members()
        self._judge_disarming()
        self._judge_what_is_said()

    def _judge_promises(self, falls: dict[str, float]) -> None:
        total_watts = sum(falls.values())
        if self.bench.heat >= TRIP:
            self._breach("S2", f"heat {self.bench.heat:.2f}, load {self.bench.load():.3f}")
        if self.bench.raised_at_deadline:
            self._breach("no raise at a deadline", ", ".join(self.bench.raised_at_deadline))
        within = total_watts <= self.bench.budget_watts + TOLERANCE_WATTS * len(falls)
        few = len(self._outside) <= self.tolerated and total_watts <= self.borne_watts
        unseen = any(not _seen(self.bench, name) for name in self._outside)
        if not (within or few or unseen or self._excused_s > 0) and self._holdable(falls):
            share = total_watts / self.bench.budget_watts
            self._breach("S1", f"nodes fall to {share:.3f} of the budget, outside: {sorted(self._outside)}")

    def _judge_disarming(self) -> None:
        """Whether a member lost its record that neither left, nor was released, nor booted anew."""
        bench, declared = self.bench, self.bench.site.domain
        armed = frozenset(agent.name for agent in bench.armed())
        if (declared.enforce, declared.members) != self._declared:
            self._declared, self._declared_s = (declared.enforce, declared.members), bench.world.now
        settled = declared.enforce and bench.world.now - self._declared_s > RELEASED_S
        lost = [
            name for name in self._armed - armed if name in declared.members and bench.agent(name).guarded
        ]
        if settled and lost:
            self._breach("no fault disarms", ", ".join(sorted(lost)))
        self._armed = armed

    def _judge_members(self) -> None:
        """Whether the row is led by what its own nodes say."""
        names = {agent.name for agent in self.bench.agents}
        for agent in self.bench.leaders():
            if agent.coordinator is not None and not agent.coordinator.members.keys() <= names:
                self._breach("its own members alone", f"{agent.coordinator.members.keys() - names}")

    def _follow_outside(self, falls: dict[str, float], led: bool) -> None:
        now_outside = {name for name in falls if falls[name] > _target_watts(self.bench, name)}
        for name in self._outside.keys() - now_outside:
            del self._outside[name]
        for name in now_outside:
            one = self._outside.get(name)
            if one is None or falls[name] > one.watts + TOLERANCE_WATTS:
                self._outside[name] = _Outside(falls[name])
                self.excuse()
            elif not led:
                one.led_s = one.led_s if self._is_planned(one) else 0.0
            elif _seen(self.bench, name):
                if one.led_s == 0.0:
                    self.excuse()
                one.led_s += TICK_S

    def _is_planned(self, one: _Outside) -> bool:
        """Whether somebody has led for a whole reaction with that node's fault in sight."""
        return one.led_s >= self.bench.site.domain.timings.reaction_s + SETTLE_S

    def _enforced(self) -> bool:
        """Whether it is declared that the row be enforced, or nobody was released of it yet."""
        members = [agent for agent in self.bench.agents if agent.name in self.bench.site.domain.members]
        return self.bench.site.domain.enforce or all(agent.record.armed for agent in members)

    def _led(self) -> bool:
        """Whether somebody leads who hears the members, but for those outside the plan and k others."""
        for agent in self.bench.agents:
            leader = agent.coordinator
            if leader is None or agent.process.stopped or not leader.members.acquainted:
                continue
            if len(set(leader.members.silent(agent.process.now)) - self._outside.keys()) <= self.tolerated:
                return True
        return False

    def _inside(self, falls: dict[str, float], led: bool) -> bool:
        unplanned = [name for name, one in self._outside.items() if not self._is_planned(one)]
        if len(unplanned) <= self.tolerated:
            return True
        if len([name for name in unplanned if self._hidden(name)]) > self.tolerated:
            return False
        return led and self._holdable(falls)

    def _holdable(self, falls: dict[str, float]) -> bool:
        """Whether it would fit with everybody that isn't outside at the lowest limits."""
        lowest = HOST_WATTS + SENSOR_GAIN * GPUS * MIN_WATTS
        least_watts = sum(watts if name in self._outside else lowest for name, watts in falls.items())
        return least_watts <= self.bench.budget_watts

    def _hidden(self, name: str) -> bool:
        """Whether the node may draw more than anybody can know: it was raised after it fell silent."""
        for agent in self.bench.leaders():
            leader = agent.coordinator
            member = leader.members.get(name) if leader is not None else None
            if leader is None or member is None or member.fresh(agent.process.now, 2.0):
                continue
            known_watts = sum(member.falls_watts(agent.process.now, 2.0).values())
            if known_watts + TOLERANCE_WATTS < sum(self.bench.paper(name).most_watts()):
                return True
        return False

    def _judge_what_is_said(self) -> None:
        """Whether a leader that knows that no plan fits says so, with everybody else at the lowest."""
        leaders = self.bench.leaders()
        leader = leaders[0].coordinator if len(leaders) == 1 and not leaders[0].process.stopped else None
        unholdable = leader is not None and self._evidently_unholdable()
        self._evident_s = self._evident_s + TICK_S if unholdable else 0.0
        self.unholdable_s += TICK_S if unholdable else 0.0
        if leader is None or self._evident_s <= SAID_WITHIN_S:
            return
        if leader.level != HoldReason.UNHOLDABLE:
            self._breach("said when unholdable", f"level is {leader.level!r}")
        above = [agent.name for agent in self._obeying() if max(self._most_watts(agent)) > MIN_WATTS + 1.0]
        if above:
            self._breach("said when unholdable", f"above their lowest limits: {above}")

    def _evidently_unholdable(self) -> bool:
        """By members that are heard and armed, whose failing writes have been seen."""
        bench = self.bench
        if not any(_broken(bench, agent) for agent in bench.agents):
            return False
        if not all(agent.record.armed and _heard(bench, agent) for agent in bench.agents):
            return False
        least_watts = HOST_WATTS * len(bench.agents)
        for agent in bench.agents:
            watts = self._most_watts(agent)
            able = agent.gpus.able(agent.process.now)
            held = (one if not able[index] else MIN_WATTS for index, one in enumerate(watts))
            least_watts += SENSOR_GAIN * sum(held)
        return least_watts > bench.budget_watts + TOLERANCE_WATTS * len(bench.agents)

    def _obeying(self) -> list[Agent]:
        """Nodes on which nothing is broken, and nobody else has written lately."""
        return [
            agent
            for agent in self.bench.agents
            if not _broken(self.bench, agent)
            and self.bench.world.now - self.bench.paper(agent.name).overwritten_s > SETTLE_S
            and all(agent.gpus.able(agent.process.now))
        ]

    def _most_watts(self, agent: Agent) -> list[float]:
        return self.bench.paper(agent.name).most_watts()

    def _breach(self, promise: str, text: str) -> None:
        self.breaches.setdefault(promise, Breach(promise, self.bench.world.now, text))


def falls_watts(bench: Bench, agent: Agent) -> float:
    """What a node truly comes to with nobody's help: its safe limit where something lives that goes there."""
    paper, record = bench.paper(agent.name), agent.record
    steps = agent.guarded or (agent.process.up and not agent.process.stopped)
    watts = paper.most_watts()
    if record.armed and steps:
        broken = _broken(bench, agent)
        safe = record.safe_watts
        watts = [
            held if index in broken else min(held, max(safe[index], MIN_WATTS))
            for index, held in enumerate(watts)
        ]
    return HOST_WATTS + SENSOR_GAIN * sum(watts)


def _broken(bench: Bench, agent: Agent) -> set[int]:
    """GPUs whose limits can't be set."""
    return agent.gpus.failing | agent.gpus.lost | bench.paper(agent.name).deaf


def _target_watts(bench: Bench, name: str) -> float:
    record = bench.agent(name).record
    if not record.armed:
        return HOST_WATTS
    return HOST_WATTS + SENSOR_GAIN * sum(record.safe_watts) + TOLERANCE_WATTS


def _counts(bench: Bench, agent: Agent) -> bool:
    return bench.counts(bench.paper(agent.name))


def _seen(bench: Bench, name: str) -> bool:
    """Whether the fault of a node outside the plan can be seen: its own report would show it."""
    agent = bench.agent(name)
    if not agent.record.armed or not _broken(bench, agent):
        return True
    able = agent.gpus.able(agent.process.now)
    return all(not able[index] or index in agent.gpus.lost for index in _broken(bench, agent))


def _heard(bench: Bench, agent: Agent) -> bool:
    """Whether what it says arrives at once, and so do the answers: 5 s are short on a bad network."""
    link = bench.site.link
    if link.loss > 0.0 or link.most_s > SOON_S:
        return False
    return agent.process.up and not agent.process.stopped and not bench.site.link.cut
