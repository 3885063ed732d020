"""
Whether a row in which nothing is wrong is led: one that is never given anything would keep all else.

Nothing is wrong while every node, its guard and its driver work, nobody else writes limits, every
message arrives at once, and the API server answers. After `HEALED_S` of that, all nodes are armed,
hold live leases, and the row isn't held for members that nobody knows or hears. (It may be held for some
that flapped, which have to prove themselves for longer each time.)
"""

from collections.abc import Callable
from typing import Final

from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.rows import TICK_S, Bench
from testbed.shaken_rows.truths import SOON_S, broken

HEALED_S: Final = 45.0
"""An election, an acquaintance, and the 30 s of proof that a member needs which was given up."""

LATE_S: Final = 5.0
"""A lease may come late, as where it became shorter."""

BEARABLE: Final = 0.9
LONGEST_S: Final = 6.0
"""What is declared must be bearable: a new leader knows no earlier declaration to go on with."""

UNJUSTIFIED: Final = frozenset({HoldReason.UNKNOWN, HoldReason.SILENT})


class Availability:
    """Counts for how long nothing has been wrong; `breach` is called with a sentence if nobody leads then."""

    def __init__(self, bench: Bench, breach: Callable[[str], None]) -> None:
        self._bench, self._breach = bench, breach
        self._healthy_s = self._idle_s = 0.0

    def disturb(self) -> None:
        """Something happens now."""
        self._healthy_s = 0.0

    def look(self) -> None:
        """Judge this moment."""
        self._healthy_s = self._healthy_s + TICK_S if self._healthy() else 0.0
        if self._healthy_s < HEALED_S:
            return
        levels = [leader.level for leader in self._bench.coordinators()]
        idle = [agent.name for agent in self._bench.agents if not _leased(agent)]
        held = not levels or any(level in UNJUSTIFIED for level in levels)
        self._idle_s = self._idle_s + TICK_S if idle or held else 0.0
        if self._idle_s > LATE_S:
            self._breach(f"no lease in {idle}, levels {levels}")

    def _healthy(self) -> bool:
        site = self._bench.site
        link, domain = site.link, site.domain
        if link.cut or link.loss > 0.0 or link.most_s > SOON_S or not domain.enforce:
            return False
        if not site.lease.available or site.cut_off:
            return False
        if domain.budget_watts < BEARABLE * self._bench.budget_watts or domain.timings.lease_s > LONGEST_S:
            return False
        if site.rivals or self._bench.twists or len(domain.members) < len(self._bench.agents):
            return False
        return all(self._works(agent) for agent in self._bench.agents)

    def _works(self, agent: Agent) -> bool:
        process, gpus = agent.process, agent.gpus
        paper = self._bench.paper(agent.name)
        works = process.up and not process.stopped and agent.guarded and not gpus.faults
        return works and not broken(self._bench, agent) and paper.overwritten_s == 0.0


def _leased(agent: Agent) -> bool:
    return agent.record.armed and agent.record.deadline_s > agent.process.now
