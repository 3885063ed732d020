"""
What the rule promises, as questions to one world: each oracle answers with a sentence where it is broken.

`true` is what the hardware would do, `counted` what the leader relies on. Both are judged only
where the rule says so: from the first plan that all acknowledged, and not while a fault excuses.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from testbed.protocol_model import leaders, nodes, safe_plans, sums
from testbed.protocol_model.heat import TRIP
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.worlds import World

HEAT_TOLERANCE = 0.02
"""How far the counted heat may lie below the truth: a second of rounding at a change of leader."""

RARELY = 0.02
"""The largest share of the time that a node which flaps may hold a row. Chosen: a minute an hour."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One oracle that doesn't hold, and how far."""

    oracle: str
    text: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.text}"


Oracle = Callable[[World, Setup], str]
"""Answers with what is wrong; with nothing where the promise holds."""


def excused(world: World) -> bool:
    """Whether a fault, so lately that k and the heat bear it, excuses the sums."""
    return not world.settled or any(world.excused_s)


def bearable_watts(world: World, setup: Setup) -> float:
    """What true falls may sum up to: the budget, or what is borne in a fault's first minutes."""
    least = sum(nodes.least_watts(node) for node in world.counted)
    lately = any(0 < age_s <= setup.times.in_u_s + setup.times.excused_s for age_s in world.bad_s)
    allowed = setup.borne_watts(world.known_watts) if lately else world.known_watts
    return max(allowed, least)


def true_falls_fit(world: World, setup: Setup) -> str:
    """S1 on true limits."""
    if excused(world):
        return ""
    falls = sum(node.true_fall_watts for node in world.counted)
    bound = bearable_watts(world, setup)
    return f"true falls {falls} W, bearable {bound:.0f} W" if falls > bound else ""


def counted_fits(world: World, setup: Setup) -> str:
    """S1 on what is counted, wherever the lowest limits allow it."""
    leader = world.leader
    if excused(world) or leader is None or leaders.acquainting(leader, setup) or leader.cannot:
        return ""
    if setup.rule.acknowledgements_are_awaited and any(m.waits_s and not m.planned for m in leader.present):
        return ""
    counted = sums.counted_watts(leader, setup)
    return f"counted {counted} W of {leader.budget_watts} W" if counted > leader.budget_watts else ""


def no_rise_at_deadline(world: World, _: Setup) -> str:
    """Nothing that a node does by itself raises a limit."""
    return "a limit rose without a lease" if world.rose_at_deadline else ""


def holds_end(world: World, setup: Setup) -> str:
    """A row in which nothing more goes wrong isn't held, unless not even the lowest limits fit."""
    leader, times = world.leader, setup.times
    quiet_s = times.excused_s + times.silent_after_s + times.forgotten_after_s + times.acknowledge_s
    if (
        leader is None
        or len(world.leading) > 1
        or not leader.held
        or leader.age_s < times.patience_s
        or world.calm_s <= quiet_s
    ):
        return ""
    if setup.counts_heat and leader.heat > sums.ceiling(leader, setup):
        return ""
    cannot = leader.cannot and sums.above_borne(leader, setup)
    return "" if cannot else f"held for {world.calm_s} s with nothing new"


def the_rest_is_lowest(world: World, _: Setup) -> str:
    """What doesn't fit is answered by the lowest limits, never by the old plan."""
    leader = world.leader
    if leader is None or not leader.cannot:
        return ""
    for member in leader.present:
        adjustable = not member.planned and not member.releasing and member.report is not None
        if adjustable and (member.given_watts or 0) > member.lowest_watts:
            return f"it can't be held, and a safe limit is {member.given_watts} W"
    return ""


def heat_stays_below_trip(world: World, setup: Setup) -> str:
    """The breaker doesn't trip, unless the truth is beyond what lowest limits could hold."""
    if not setup.counts_heat or world.heat < TRIP or world.unborne or _beyond(world, setup):
        return ""
    return f"true heat {world.heat:.2f}"


def heat_is_counted(world: World, setup: Setup) -> str:
    """The leader counts at least the true heat."""
    leader = world.leader
    if not setup.counts_heat or leader is None or leaders.acquainting(leader, setup):
        return ""
    if world.unborne or world.hidden:
        return ""
    low = leader.heat < min(1.0, world.heat) - HEAT_TOLERANCE
    return f"true heat {world.heat:.2f}, counted {leader.heat:.2f}" if low else ""


def able_again(world: World, setup: Setup) -> str:
    """A node with which nothing is wrong any more is able again."""
    times = setup.times
    quiet_s = times.excused_s + times.proof_s + times.probe_every_s + times.kube_lease_s + times.patience_s
    if world.leader is None or world.calm_s <= quiet_s:
        return ""
    for index, node in enumerate(world.nodes):
        proof, gpu = node.proof, node.gpu
        heard = index not in world.leader.deaf_to
        healthy = (
            node.selected and heard and nodes.reachable(node) and node.guard and gpu.settable and gpu.readable
        )
        waits = proof.stranger_left_s or proof.lower_left_s or gpu.lowest_watts == gpu.highest_watts
        if healthy and not node.able and not waits and world.leader.members[index] is not None:
            return f"node {index} is unable {world.calm_s} s after the last event"
    return ""


def plan_grows_back(world: World, setup: Setup) -> str:
    """Where larger safe limits would fit, and nothing new happens, they are given."""
    leader, times = world.leader, setup.times
    quiet_s = times.excused_s + times.silent_after_s + times.forgotten_after_s + 2 * times.acknowledge_s
    if (
        leader is None
        or len(world.leading) > 1
        or not world.api
        or not leader.reaches_api
        or world.calm_s <= quiet_s
    ):
        return ""
    if any(m.returned_s > times.return_memory_s - times.acknowledge_s for m in leader.present):
        return ""
    slack_watts = safe_plans.ungiven_watts(leader, setup)
    return f"{slack_watts} W of the budget are given to nobody" if slack_watts > len(world.nodes) else ""


def held_share(worlds: Sequence[World]) -> float:
    """Which share of the second half of a run the row was held by the rule, wherever it could be held."""
    half = worlds[len(worlds) // 2 :]
    held = [w.leader is not None and w.leader.held and not w.leader.cannot for w in half]
    return sum(held) / max(1, len(held))


def _beyond(world: World, setup: Setup) -> bool:
    least = sum(nodes.least_watts(node) for node in world.counted)
    return least > world.known_watts


ORACLES: dict[str, Oracle] = {
    "S1 true": true_falls_fit,
    "S1 counted": counted_fits,
    "no rise at a deadline": no_rise_at_deadline,
    "holds end": holds_end,
    "the lowest limits": the_rest_is_lowest,
    "able again": able_again,
    "the plan grows back": plan_grows_back,
    "heat below trip": heat_stays_below_trip,
    "heat counted": heat_is_counted,
}


def broken(world: World, setup: Setup) -> Iterator[Broken]:
    """Every oracle that this world breaks."""
    for name, oracle in ORACLES.items():
        text = oracle(world, setup)
        if text:
            yield Broken(name, text)
