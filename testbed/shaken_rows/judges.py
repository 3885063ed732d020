"""
Whether a row on paper keeps what it is promised, by what is true of it and not by what anybody believes.

Judged at every tick, from the first on. *S2*: the true heat stays below trip. *S1*: what the nodes
truly fall to with nobody's help is within the budget, wherever the lowest limits allow it, except for
`EXCUSED_S` after a fault or a change that somebody leads through, and except for nodes outside the plan
within what the breaker bears (0002, «S1»), beside those that the plan has made room for. No limit rises
at a deadline. Where no plan can hold the row, that is said, and the others are at their lowest, within
`SAID_WITHIN_S` of the evidence. Nobody but the row's own nodes is a member, and no fault disarms one.
But for the heat all of it is promised from when every node has been armed.

All of this is promised inside a *fault budget*: at any moment at most k nodes are outside the plan,
or more if the row can be held at its lowest limits and somebody leads it. So it is, too, while a node
joins for which there is no room yet: k is of those that have been planned with. A node is *outside*
while it doesn't fall to the safe limit that it should, and part of the plan again once somebody has
led for a reaction with the fault in sight: with more outside than the breaker bears, or for ten
minutes. A row that is released isn't promised anything. `beyond_s` is when a schedule left its fault
budget; from then on S1, S2 and rises are judged no more.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.planned_members import OUTSIDE_S
from loadline_policies.power.safety.breakers import TRIP, WARM
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, safe_limits, tolerated_silent_nodes
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.availability import Availability
from testbed.shaken_rows.papers import GPUS, HOST_WATTS, MAX_WATTS, MIN_WATTS
from testbed.shaken_rows.releases import Releases
from testbed.shaken_rows.rows import CURVE, TICK_S, Bench
from testbed.shaken_rows.truths import (
    TOLERANCE_WATTS,
    broken,
    counts,
    falls_watts,
    heard,
    hidden,
    off,
    seen,
    target_watts,
    written_by_others,
)

EXCUSED_S: Final = 40.0
SETTLE_S: Final = 3.0
RELEASED_S: Final = 8.0
"""How long a release that isn't wanted any more may still be on its way."""

SAID_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that wasn't kept: `promise` is its short name."""

    promise: str
    at_s: float
    text: str


@dataclass(slots=True)
class _Outside:
    """A node that doesn't fall to its safe limit. `led_s` is how long somebody has led with it in sight,
    `above_s` for how much of that the row fell to more than the breaker bears. One that `joins` has not
    been armed since it became a member. One is `absorbed`, and none of k any more, once the safe limits of
    all others make room for it."""

    watts: float
    joins: bool
    absorbed: bool = False
    led_s: float = 0.0
    above_s: float = 0.0


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
        self._joined: set[str] = set()
        self._armed: frozenset[str] = frozenset()
        self._left_s: dict[str, float] = {}
        self._excused_s = EXCUSED_S
        self._evident_s = 0.0
        self._releases = Releases(self.bench, partial(self._breach, "releases with headroom"))
        self._availability = Availability(self.bench, partial(self._breach, "a sound row is led"))
        self.bench.world.every(TICK_S, self.look)

    def excuse(self, seconds: float = EXCUSED_S) -> None:
        """A fault or a change begins now."""
        self._availability.disturb()
        self._excused_s = max(self._excused_s, seconds)

    def look(self) -> None:
        """Judge this moment."""
        bench = self.bench
        if self.beyond_s is None:
            self.most_heat = max(self.most_heat, bench.heat)
        self._availability.look()
        if not self.armed:
            self.armed = all(agent.record.armed for agent in bench.agents)
            return
        falls = {agent.name: falls_watts(bench, agent) for agent in bench.agents if counts(bench, agent)}
        self._joined |= {agent.name for agent in bench.armed()}
        self._joined &= falls.keys()
        self._note_outside(falls)
        led = self._led()
        self._age_outside(led, above=sum(falls.values()) > self.borne_watts)
        if led:
            self._excused_s -= TICK_S
        if self.beyond_s is None and not (self._enforced() and self._inside(falls, led)):
            self.beyond_s = bench.world.now
        if self.beyond_s is None:
            self._judge_promises(falls)
            self._releases.look()
        self._judge_members()
        self._judge_disarming()
        self._judge_what_is_said()

    def _judge_promises(self, falls: dict[str, float]) -> None:
        total_watts = sum(falls.values())
        if self.bench.heat >= TRIP:
            self._breach("S2", f"heat {self.bench.heat:.2f}, load {self.bench.load():.3f}")
        if self.bench.raised_at_deadline:
            self._breach("no raise at a deadline", ", ".join(self.bench.raised_at_deadline))
        if self.bench.understated:
            self._breach("reports tell the most", ", ".join(self.bench.understated[:5]))
        if self.bench.raised_by_former:
            self._breach("only the leader raises", ", ".join(self.bench.raised_by_former[:5]))
        within = total_watts <= self.bench.budget_watts + TOLERANCE_WATTS * len(falls)
        if not within and not self._outside:
            self._breach("safe limits within the budget", f"{total_watts / self.bench.budget_watts:.3f}")
        if within:
            for one in self._outside.values():
                one.absorbed = True
        few = self._few(falls)
        unseen = any(not seen(self.bench, name) for name in self._outside)
        if not (within or few or unseen or self._excused_s > 0) and self._holdable(falls):
            share = total_watts / self.bench.budget_watts
            self._breach("S1", f"nodes fall to {share:.3f} of the budget, outside: {sorted(self._outside)}")

    def _few(self, falls: dict[str, float]) -> bool:
        """Whether all that the row falls to above its budget is that of nodes outside, and borne.

        How many they are doesn't matter: k is what the breaker bears of the worst ones, and a node of which
        the plan already counts a lost GPU rises by less.
        """
        total_watts = sum(falls.values())
        others = [name for name, one in self._outside.items() if not one.absorbed]
        rises_watts = sum(max(0.0, falls[name] - target_watts(self.bench, name)) for name in others)
        planned_watts = self.bench.budget_watts + TOLERANCE_WATTS * len(falls)
        return total_watts <= self.borne_watts and total_watts - rises_watts <= planned_watts

    def _judge_disarming(self) -> None:
        """Whether a member lost its record that neither left, nor was released, nor booted anew."""
        bench, declared = self.bench, self.bench.site.domain
        armed = frozenset(agent.name for agent in bench.armed())
        now = bench.world.now
        settled = declared.enforce and now - bench.enlisted_s > RELEASED_S
        self._left_s |= {name: now for name in self._armed | armed if self._leaves(name)}
        lost = [
            name
            for name in self._armed - armed
            if name in declared.members
            and bench.agent(name).guarded
            and now - self._left_s.get(name, float("-inf")) > RELEASED_S
        ]
        if settled and lost:
            self._breach("no fault disarms", ", ".join(sorted(lost)))
        self._armed = armed

    def _leaves(self, name: str) -> bool:
        """Whether somebody leads by an older declaration, in which the node isn't a member."""
        return any(name not in leader.domain.members for leader in self.bench.coordinators())

    def _judge_members(self) -> None:
        """Whether the row is led by what its own nodes say."""
        names = {agent.name for agent in self.bench.agents}
        for leader in self.bench.coordinators():
            if not leader.members.keys() <= names:
                self._breach("its own members alone", f"{leader.members.keys() - names}")

    def _note_outside(self, falls: dict[str, float]) -> None:
        """See who is outside the plan now, and who falls higher than before."""
        names = {name for name in falls if falls[name] > target_watts(self.bench, name)}
        for name in self._outside.keys() - names:
            del self._outside[name]
        for name in names:
            one = self._outside.get(name)
            if one is None or falls[name] > one.watts + TOLERANCE_WATTS:
                self._outside[name] = _Outside(falls[name], joins=name not in self._joined)
                self.excuse()

    def _age_outside(self, led: bool, *, above: bool) -> None:
        """Count for how long somebody has led with each of them in sight."""
        for name, one in self._outside.items():
            if not led:
                one.led_s, one.above_s = (one.led_s, one.above_s) if self._is_planned(one) else (0.0, 0.0)
            elif seen(self.bench, name):
                if one.led_s == 0.0:
                    self.excuse()
                one.led_s += TICK_S
                one.above_s += TICK_S if above else 0.0

    def _is_planned(self, one: _Outside) -> bool:
        """Whether somebody has led for a reaction with that fault in sight, while the breaker didn't bear it.

        What it bears is planned for only after ten minutes.
        """
        reaction_s = self.bench.site.domain.timings.reaction_s + SETTLE_S
        return one.above_s >= reaction_s or one.led_s >= OUTSIDE_S + reaction_s

    def _enforced(self) -> bool:
        """Whether it is declared that the row be enforced, or nobody was released of it yet."""
        members = [agent for agent in self.bench.agents if agent.name in self.bench.site.domain.members]
        return self.bench.site.domain.enforce or all(agent.record.armed for agent in members)

    def _led(self) -> bool:
        """Whether somebody leads who hears all but those outside the plan or off, and k others."""
        for agent in self.bench.leaders():
            leader = agent.coordinator
            if leader is None or agent.process.stopped or leader.level == HoldReason.NEW:
                continue
            silent = set(leader.members.silent(agent.process.now)) - self._outside.keys()
            if len([name for name in silent if not off(self.bench, name)]) <= self.tolerated:
                return True
        return False

    def _inside(self, falls: dict[str, float], led: bool) -> bool:
        harassed = [name for name in falls if written_by_others(self.bench, name)]
        if len(harassed) > self.tolerated and not self._holdable(falls, harassed):
            return False
        unplanned = [name for name, one in self._outside.items() if not self._is_planned(one)]
        joins = any(self._outside[name].joins for name in unplanned)
        if len(unplanned) <= self.tolerated and not (joins and sum(falls.values()) > self.borne_watts):
            return True
        if len([name for name in unplanned if hidden(self.bench, name)]) > self.tolerated:
            return False
        return led and self._holdable(falls)

    def _holdable(self, falls: dict[str, float], highest: Collection[str] = ()) -> bool:
        """Whether it would fit with all that aren't outside at the lowest limits, some at the highest."""
        lowest, most = (HOST_WATTS + SENSOR_GAIN * GPUS * watts for watts in (MIN_WATTS, MAX_WATTS))
        least = {name: watts if name in self._outside else lowest for name, watts in falls.items()}
        return sum((least | dict.fromkeys(highest, most)).values()) <= self.bench.budget_watts

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
        if not any(broken(bench, agent) for agent in bench.agents):
            return False
        if not all(agent.record.armed and heard(bench, agent) for agent in bench.agents):
            return False
        least_watts = HOST_WATTS * len(bench.agents)
        for agent in bench.agents:
            watts = self._most_watts(agent)
            able = agent.gpus.able(agent.process.now)
            held = (one if not able[index] else MIN_WATTS for index, one in enumerate(watts))
            least_watts += SENSOR_GAIN * sum(held)
        return least_watts > bench.budget_watts + TOLERANCE_WATTS * len(bench.agents)

    def _obeying(self) -> list[Agent]:
        """Nodes on which nothing is broken, and nobody else, nor a driver, has changed a limit lately."""
        return [
            agent
            for agent in self.bench.agents
            if not broken(self.bench, agent)
            and self.bench.world.now - self.bench.paper(agent.name).raised_s > SETTLE_S
            and all(agent.gpus.able(agent.process.now))
        ]

    def _most_watts(self, agent: Agent) -> list[float]:
        return self.bench.paper(agent.name).most_watts()

    def _breach(self, promise: str, text: str) -> None:
        self.breaches.setdefault(promise, Breach(promise, self.bench.world.now, text))
