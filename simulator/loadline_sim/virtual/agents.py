"""
An agent and its guard in virtual time: carriers of the product's own protocol.

The node's half is `protocol.nodes`, the candidate's other half is in `leaders`. Here messages
and orders take their time. Killed, an agent's memory is gone; its guard and the armed record
stay.
"""

from collections.abc import Iterable
from functools import partial

from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.leases import Standing
from loadline_policies.power.protocol.messages import Lease, Report
from loadline_policies.power.protocol.node_outputs import (
    CarryOut,
    Output,
    ReadBack,
    Refused,
    Restore,
    Send,
    Taken,
)
from loadline_policies.power.protocol.node_reports import NodeWorkloads
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.protocol.nodes import Node
from loadline_policies.power.protocol.release_tries import TRIES
from loadline_sim.virtual.hardware import Hardware
from loadline_sim.virtual.leaders import Elsewhere, Leader
from loadline_sim.virtual.links import Reply
from loadline_sim.virtual.node_gpus import AgentRecord, VirtualGpus
from loadline_sim.virtual.processes import Process
from loadline_sim.virtual.sites import Site

GIVE_UP_S = 1.6
"""How long an answer is awaited, as by the agent's client."""

GUARD_S = 0.5
IDLE_S = 1.0


class Agent:
    """One node's agent, and its guard while `guarded`. Guard and record, in `gpus`, outlive the process."""

    def __init__(self, site: Site, hardware: Hardware, *, phase_s: float = 0.0) -> None:
        self.site, self.gpus = site, VirtualGpus(hardware)
        self.name = hardware.rating.node
        self.refused: dict[str, int] = {}
        self.guarded = True
        self.process = Process(site.world)
        site.peers[self.name] = self
        site.world.every(GUARD_S, self._guard, first_s=phase_s / 2)
        self.start(phase_s)

    def start(self, phase_s: float = 0.0) -> None:
        """Begin, or begin again after a crash."""
        self.process.begin()
        self.gpus.open()
        self.leader = Leader(self.name, self.site, process=self.process)
        self.node = Node(
            self.name,
            self.gpus.look(self.process.now),
            now=self.process.now,
            uniform=self.site.link.random.uniform,
            workloads=NodeWorkloads(
                owners=lambda uuid: self.site.owners.get(self.name, ()),
                services=lambda: self.site.services.get(self.name, ()),
            ),
        )
        self._candidate = 0
        self._polled = 0
        self._plan_deadline()
        self.process.later(phase_s, self._poll)
        self.leader.run(phase_s)

    @property
    def record(self) -> AgentRecord:
        """What the guard goes by."""
        return self.gpus.record

    @property
    def standing(self) -> Standing:
        """Where the node stands in the protocol."""
        return self.node.standing

    @property
    def armed(self) -> bool:
        """Whether the guard holds a record."""
        return self.record.armed

    @property
    def coordinator(self) -> Coordinator | None:
        """What leads the domain from here; None if nothing that may still answer."""
        leader = self.leader.coordinator
        return leader if self.process.up and leader is not None and not leader.over else None

    def declared(self) -> None:
        """The API server's watch brings a change of the domain."""
        self.process.happens(self.leader.configure)

    def reported(self, report: Report, reply: Reply) -> None:
        """A report arrives from a member."""
        self.process.happens(lambda: self.leader.serve(report, reply))

    def sampled(self) -> None:
        """Look at the sensors: report out of turn what is worth telling."""
        state = self.gpus.look(self.process.now)
        if self.node.is_news(state, self.process.now):
            self._poll()

    def _poll(self) -> None:
        """Do what is due, and come again when something will be."""
        now = self.process.now
        self.node.looked(self.gpus.look(now))
        self.node.settle(self._home())
        self._carry(self.node.poll(now))
        self._polled += 1
        turn = self._polled
        delay_s = max(0.0, min(self.node.wake_s - now, IDLE_S))
        self.process.later(delay_s, lambda: self._poll() if turn == self._polled else None)

    def _home(self) -> Home:
        host_watts = self.gpus.hardware.host_watts
        return Home(
            domain=self.site.domain.name,
            conflict=self.site.rivals.get(self.name),
            host_idle_watts=host_watts,
            host_max_watts=host_watts,
            enforced=self.site.domain.enforce,
            gone=self.site.gone.get(self.name),
        )

    def _carry(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Send(report):
                    self._send(report)
                case CarryOut(lease, deadline_s):
                    now = self.process.now
                    writes = self.gpus.carry_out(lease, deadline_s, now)
                    self._plan_deadline()
                    self._carry(self.node.carried_out(self.gpus.look(now), now, writes=writes))
                case Restore():
                    self._restore()
                case Refused(error):
                    self.refused[error.reason] = self.refused.get(error.reason, 0) + 1
                case ReadBack() | Taken():
                    pass

    def release(self) -> None:
        """A person has the node released by hand."""
        self._carry(self.node.release(self.process.now))

    def _restore(self) -> None:
        """Give back what was found, as often as it is tried; tries take no time here."""
        now = self.process.now
        for _ in range(TRIES):
            if self.record.armed:
                self.gpus.restore(now)
        self._carry(self.node.restored(self.gpus.look(now), now))

    def _send(self, report: Report) -> None:
        """Send a report to whoever is believed to lead."""
        name = self.site.candidates[self._candidate % len(self.site.candidates)]
        target = self.site.peers[name]

        def reply(answer: object) -> None:
            arrival = self.process.bound(partial(self._answered, report.sequence, answer))
            self.site.link.carry(arrival, (name, self.name))

        self.site.link.carry(lambda: target.reported(report, reply), (self.name, name))
        self.process.later(GIVE_UP_S, partial(self._give_up, report.sequence))

    def _answered(self, sequence: int, answer: object) -> None:
        if not self.node.awaits(sequence):
            return
        if isinstance(answer, Lease):
            self._carry(self.node.answered(sequence, answer, self.process.now))
        elif isinstance(answer, Elsewhere):
            candidates, holder = self.site.candidates, answer.holder
            self._candidate = candidates.index(holder) if holder in candidates else self._candidate + 1
            self.node.unanswered(sequence, self.process.now)
        else:
            self.node.superseded(sequence)
        self._poll()

    def _give_up(self, sequence: int) -> None:
        if self.node.awaits(sequence):
            self._candidate += 1
            self.node.unanswered(sequence, self.process.now)
            self._poll()

    def _plan_deadline(self) -> None:
        if self.record.armed:
            self.process.later(max(0.0, self.record.deadline_s - self.process.now), self._keep_deadline)

    def _guard(self) -> None:
        if self.guarded:
            self._keep_deadline()

    def _keep_deadline(self) -> None:
        if self.record.armed and self.process.now >= self.record.deadline_s:
            self.gpus.step_down(self.process.now)
