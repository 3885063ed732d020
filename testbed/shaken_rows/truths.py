"""
What is true of a node in a row on paper, whatever the node, or anybody else, believes.
"""

from typing import Final

from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.papers import HOST_WATTS, MIN_WATTS
from testbed.shaken_rows.rows import TICK_S, Bench

SOON_S: Final = 0.1
TOLERANCE_WATTS: Final = 2.0
"""By how much limits and sums may differ for being whole watts."""

LAST_KNOWN_S: Final = 31.0
"""How long a silent node counts at what it was last known to hold, and a look more."""

AGAIN_S: Final = 10.0


def falls_watts(bench: Bench, agent: Agent) -> float:
    """What a node truly comes to with nobody's help: its safe limit where something lives that goes there.

    Nothing while the machine is off, since by the time that it is on again it has been silent for long.
    """
    paper, record = bench.paper(agent.name), agent.record
    if bench.world.now < paper.off_until_s:
        return 0.0
    steps = agent.guarded or (agent.process.up and not agent.process.stopped)
    watts = paper.most_watts()
    if record.armed and steps:
        unsettable = broken(bench, agent)
        safe = record.safe_watts
        watts = [
            held if index in unsettable else min(held, max(safe[index], MIN_WATTS))
            for index, held in enumerate(watts)
        ]
    return HOST_WATTS + SENSOR_GAIN * sum(watts)


def broken(bench: Bench, agent: Agent) -> set[int]:
    """GPUs whose limits can't be set."""
    return agent.gpus.failing | agent.gpus.lost | bench.paper(agent.name).deaf


def off(bench: Bench, name: str) -> bool:
    """Whether the machine is off, or was at the last tick."""
    return bench.world.now < bench.paper(name).off_until_s + 2 * TICK_S


def target_watts(bench: Bench, name: str) -> float:
    record = bench.agent(name).record
    if not record.armed:
        return HOST_WATTS
    return HOST_WATTS + SENSOR_GAIN * sum(record.safe_watts) + TOLERANCE_WATTS


def counts(bench: Bench, agent: Agent) -> bool:
    return bench.counts(bench.paper(agent.name))


def seen(bench: Bench, name: str) -> bool:
    """Whether the fault of a node outside the plan can be seen: its own report would show it."""
    agent = bench.agent(name)
    if not agent.record.armed or not broken(bench, agent):
        return True
    able = agent.gpus.able(agent.process.now)
    return all(not able[index] or index in agent.gpus.lost for index in broken(bench, agent))


def heard(bench: Bench, agent: Agent) -> bool:
    """Whether what it says arrives at once, and so do the answers: 5 s are short on a bad network."""
    link = bench.site.link
    if link.loss > 0.0 or link.most_s > SOON_S:
        return False
    return agent.process.up and not agent.process.stopped and not bench.site.link.cut


def hidden(bench: Bench, name: str) -> bool:
    """Whether it may draw more than anybody can know: somebody else raised it after it last was heard.

    Not for ever: a node that stays silent counts at its maximum.
    """
    heard_s = bench.heard_s.get(name, float("-inf"))
    on_its_way_s = bench.site.link.most_s + SOON_S
    told = bench.paper(name).raised_s + on_its_way_s < heard_s
    return not told and bench.world.now - max(heard_s, bench.paper(name).raised_s) < LAST_KNOWN_S


def written_by_others(bench: Bench, name: str) -> bool:
    """Whether somebody else writes its limits again and again: he did so moments ago."""
    return bench.world.now - bench.paper(name).overwritten_s < AGAIN_S
