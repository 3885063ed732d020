"""
A candidate's other half in virtual time: it runs for the Kubernetes Lease and, elected, answers.

The half itself is the product's `protocol.leaders`; here its answers take their way back, and
the API server can be away.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from loadline_api.power_journals import PowerJournal
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.elections import PERIOD_S, Step
from loadline_policies.power.protocol.leaders import (
    DECIDE_EVERY_S,
    Began,
    ElectionState,
    Ended,
    Implausible,
    Leased,
    NotAMember,
    NotLeading,
    Output,
    Superseded,
)
from loadline_policies.power.protocol.leaders import Leader as ProtocolLeader
from loadline_policies.power.protocol.messages import Epoch, Report
from loadline_sim.virtual.kube_leases import LeaseView
from loadline_sim.virtual.links import Reply
from loadline_sim.virtual.processes import Process
from loadline_sim.virtual.sites import Site


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Not the coordinator; perhaps that one is."""

    holder: str | None


class Leader:
    """One agent's part in leading; `coordinator` is None while it doesn't."""

    def __init__(self, name: str, site: Site, *, process: Process) -> None:
        self.name, self.site, self.process = name, site, process
        self._power_journal: PowerJournal | None = None
        if site.journal_of is None:
            self._leader = ProtocolLeader(site.link.random.uniform)
        else:
            written = self._power_journal = PowerJournal(site.journal_of(name), observations=True)
            self._leader = ProtocolLeader(site.link.random.uniform, written.relieve, written.decided)
        self._election = ElectionState()
        self._declared: Domain | None = None
        self._replies: dict[int, tuple[Report, Reply]] = {}
        self._wakes_s = float("inf")
        self._rests_until_s = float("-inf")
        self._stand = LeaseView(site.lease, name)

    @property
    def coordinator(self) -> Coordinator | None:
        """What leads the domain from here."""
        return self._leader.coordinator

    def run(self, first_s: float) -> None:
        """Look at the Kubernetes Lease every few seconds, and decide every second, if a candidate."""
        if self.name in self.site.candidates:
            self.process.again(PERIOD_S, self._elect, first_s=first_s)
            self.process.again(DECIDE_EVERY_S, self._step, first_s=first_s)

    def lead(self) -> None:
        """Take the Kubernetes Lease, whoever holds it, and begin to lead."""
        self._elected(self.site.lease.take(self.name))
        self._declared = self.site.domain
        self.site.declare(self.site.domain)
        self._step()

    def configure(self) -> None:
        """Take the domain as it is declared now."""
        if self.site.reaches(self.name):
            self._declared = self.site.domain
            if self.coordinator is not None:
                self._step()

    def _elected(self, epoch: Epoch) -> None:
        others = len(set(self.site.candidates) - {self.name})
        self._election = ElectionState(epoch, self.process.now, others)

    def _resign(self, epoch: Epoch, rest_s: float) -> None:
        """Leave the Kubernetes Lease empty, if it is this candidate's and the API server listens."""
        self._election, self._rests_until_s = ElectionState(), self.process.now + rest_s
        record = self.site.lease.record
        if self.site.reaches(self.name) and record.holder == self.name and record.epoch == epoch:
            self.site.lease.write("", record.transitions)

    def serve(self, report: Report, reply: Reply) -> None:
        """Hold a report, or say who leads."""
        report = replace(report)  # a message that arrives twice is two requests
        self._replies[id(report)] = report, reply
        self._carry(self._leader.report(report, self._election, self.process.now))

    def _step(self) -> None:
        self._carry(self._leader.step(self._election, self._declared, self.process.now))

    def _due(self) -> None:
        self._wakes_s = float("inf")
        self._carry(self._leader.due(self.process.now))

    def _carry(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Leased(report, lease):
                    self._reply(report, lease)
                case Superseded(report) | Implausible(report):
                    self._reply(report, output)
                case NotAMember(report) | NotLeading(report):
                    known, holder = self.site.reaches(self.name), self.site.lease.record.holder
                    self._reply(report, Elsewhere(holder if known and holder != self.name else None))
                case Ended(epoch, _, rest_s):
                    self._ended(epoch, rest_s)
                case Began():
                    pass
        if self._leader.wake_s < self._wakes_s:
            self._wakes_s = self._leader.wake_s
            self.process.later(max(0.0, self._wakes_s - self.process.now), self._due)

    def _ended(self, epoch: Epoch, rest_s: float) -> None:
        if self._power_journal is not None:
            self._power_journal.flush()
        if epoch == self._election.epoch:
            self._resign(epoch, rest_s)

    def _reply(self, report: Report, answer: object) -> None:
        _, reply = self._replies.pop(id(report))
        reply(answer)

    def _elect(self) -> None:
        lease = self.site.lease
        if not self.site.reaches(self.name) or self.process.now < self._rests_until_s:
            return
        held = self._election.epoch
        step = self._stand.step(held, self.process.now)
        if step is Step.RENEW and held is not None:
            lease.write(self.name, lease.record.transitions)
            self._elected(held)
        elif step is Step.ACQUIRE:
            self.lead()
            return
        else:
            self._election = ElectionState()
        self._step()
