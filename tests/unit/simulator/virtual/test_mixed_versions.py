"""
A row whose agents are of two versions: a rollout and a downgrade at its peak, one node after another.

Every message takes the way over the real wire. Agents of the later version tell more than anybody here
knows, those of the version before leave out what they may. The row's limits are above safe all the time:
at a peak below the budget, since one at its worst load is braked to safe anyway, and shows the heat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from loadline_agent.agent import LEASED_WITHIN_S
from loadline_api.reports import decode_lease, decode_report, encode_lease, encode_report
from loadline_policies.power.protocol.messages import Lease, Report
from loadline_policies.power.safety.breakers import TRIP
from loadline_sim.virtual.agents import Agent
from loadline_sim.virtual.leaders import Elsewhere
from loadline_sim.virtual.links import Reply
from loadline_sim.virtual.sites import Peer
from testbed.other_versions import OPTIONAL, PROOFS, later, without
from testbed.shaken_rows.papers import GPUS, MAX_WATTS
from testbed.shaken_rows.rows import CURVE, NODES, Bench

Version = Callable[[bytes], bytes]
"""How a version writes what this one would write."""

pytestmark = pytest.mark.slow

PEAK_WATTS, WORST_WATTS = 195.0, 420.0
"""What each GPU wants: 89 % of the budget, just below where the policy lets go of a brake; and all it can."""

STARTS_AFTER_S = 3.0
"""From a pod's end to its successor's begin."""

FAILOVER_S = 20.0
"""A Kubernetes Lease of 15 s that nobody gave up, a try, acquaintance; less the lease that it began with."""


def before(message: bytes) -> bytes:
    """The version before this one, from this one on."""
    return without(message, OPTIONAL)


def first(message: bytes) -> bytes:
    """Version 1 of the wire: no proofs; it reads nothing of a later one."""
    return without(message, OPTIONAL | PROOFS)


@dataclass
class Mixed:
    """A row, and which version each of its agents is of; `longest_low_s` was each at its safe limits."""

    bench: Bench
    versions: dict[str, Version]
    longest_low_s: dict[str, float] = field(default_factory=dict)
    _low_since_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for agent in self.bench.agents:
            self.bench.site.peers[agent.name] = Wired(self, agent.name, self.bench.site.peers[agent.name])

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.bench.run(0.5)
            for agent in self.bench.agents:
                self._note(agent)

    def roll(self, to: Version, *, next_after_s: float, resigns: bool) -> None:
        """Replace one agent after another, as a DaemonSet does: the next once the last one is leased."""
        for agent in self.bench.agents:
            self._end(agent, resigns=resigns)
            self.run(STARTS_AFTER_S)
            self.versions[agent.name] = to
            agent.start()
            began_s = self.bench.world.now
            while agent.standing.holding is None and self.bench.world.now - began_s < LEASED_WITHIN_S:
                self.run(0.5)
            self.run(next_after_s)

    def _end(self, agent: Agent, *, resigns: bool) -> None:
        """SIGTERM: the limits step down, the Kubernetes Lease is given up if that can be done."""
        lease = self.bench.site.lease
        agent.gpus.step_down(agent.process.now)
        agent.process.kill()
        if resigns and lease.record.holder == agent.name:
            lease.write("", lease.record.transitions)

    def _note(self, agent: Agent) -> None:
        now = self.bench.world.now
        limits, safe = self.bench.paper(agent.name).limits, agent.record.safe_watts
        if not agent.record.armed or max(limits) > max(safe):
            self._low_since_s.pop(agent.name, None)
            return
        low_s = now - self._low_since_s.setdefault(agent.name, now)
        self.longest_low_s[agent.name] = max(low_s, self.longest_low_s.get(agent.name, 0.0))


class Wired:
    """An agent as the others reach it: by bytes, written by one version and read by this one."""

    def __init__(self, mixed: Mixed, name: str, peer: Peer) -> None:
        self._mixed, self._name, self._peer = mixed, name, peer

    @property
    def armed(self) -> bool:
        return self._peer.armed

    def declared(self) -> None:
        self._peer.declared()

    def reported(self, report: Report, reply: Reply) -> None:
        versions = self._mixed.versions
        theirs, ours = versions[report.node], versions[self._name]
        if ours is first and theirs is not first:
            reply(Elsewhere(None))  # it is refused as it can't be read, and the next candidate's turn
            return
        if ours is theirs is first:
            theirs = before  # a coordinator of that version knew of no proof, and counted on everybody

        def answered(answer: object) -> None:
            reply(decode_lease(ours(encode_lease(answer))) if isinstance(answer, Lease) else answer)

        self._peer.reported(decode_report(theirs(encode_report(report))), answered)


def row(version: Version, *, watts: float, seed: int) -> Mixed:
    """An armed row of agents of one version, whose GPUs want that much."""
    bench = Bench(seed=seed)
    mixed = Mixed(bench, {agent.name: version for agent in bench.agents})
    mixed.run(30.0)
    bench.demand(watts)
    mixed.run(20.0)
    mixed.longest_low_s.clear()
    return mixed


def assert_kept(mixed: Mixed) -> None:
    """What holds whatever is rolled: S2, no rise at a deadline, and everybody armed."""
    bench = mixed.bench
    assert bench.most_heat < TRIP
    assert bench.raised_at_deadline == []
    assert bench.load() <= CURVE.borne_load
    assert len(bench.armed()) == NODES


ROLLOUT, DOWNGRADE = (before, later), (later, before)


@pytest.mark.parametrize(
    ("versions", "resigns", "seed"),
    [
        pytest.param(ROLLOUT, False, 8, id="rollout, killed"),
        pytest.param(ROLLOUT, True, 7, id="rollout, given up"),
        pytest.param(DOWNGRADE, False, 9, id="downgrade, killed"),
        pytest.param(DOWNGRADE, True, 7, id="downgrade, given up"),
    ],
)
def test_no_member_is_at_its_safe_limits_for_longer_than_one_failover(
    versions: tuple[Version, Version], *, resigns: bool, seed: int
) -> None:
    """12 s apart the next to lead is the next to be killed, before it leads: 48 s at safe, while an
    agent was ready before it was leased."""
    old, new = versions
    mixed = row(old, watts=PEAK_WATTS, seed=seed)
    mixed.roll(new, next_after_s=12.0, resigns=resigns)
    assert_kept(mixed)
    assert set(mixed.longest_low_s) == {agent.name for agent in mixed.bench.agents}
    assert max(mixed.longest_low_s.values()) <= FAILOVER_S


@pytest.mark.parametrize(
    ("versions", "seed"),
    [
        pytest.param((first, later), 7, id="of version 1"),
        pytest.param(ROLLOUT, 7, id="rollout"),
        pytest.param(DOWNGRADE, 8, id="downgrade"),
    ],
)
def test_at_its_worst_load_a_mixed_row_keeps_its_breaker(
    versions: tuple[Version, Version], seed: int
) -> None:
    old, new = versions
    mixed = row(old, watts=WORST_WATTS, seed=seed)
    mixed.roll(new, next_after_s=5.0, resigns=False)
    assert_kept(mixed)


def test_a_row_of_version_1_that_is_not_released_first_keeps_its_breaker_and_is_free_at_the_end() -> None:
    """What `upgrade.allowEnforced` is: nothing is counted on that they don't tell."""
    mixed = row(first, watts=PEAK_WATTS, seed=7)
    mixed.roll(later, next_after_s=5.0, resigns=True)
    assert_kept(mixed)
    assert max(mixed.longest_low_s.values()) > FAILOVER_S, "which is why the hook stops such an upgrade"
    mixed.run(60.0)
    assert [paper.limits for paper in mixed.bench.papers] == [[MAX_WATTS] * GPUS] * NODES
