"""
A candidate's other half: it runs for the Kubernetes Lease and, elected, answers reports.

The `Coordinator` is the product's. Here is what its server does: hold a report for up
to a second, answer at once whoever must hear now, and say who leads when it doesn't.
"""

from dataclasses import dataclass

from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.elections import PERIOD_S, Step
from loadline_policies.power.protocol.messages import Report
from loadline_sim.virtual.kube_leases import LeaseView
from loadline_sim.virtual.links import Reply
from loadline_sim.virtual.processes import Process
from loadline_sim.virtual.sites import Site

HOLD_S = 1.0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Not the coordinator; perhaps that one is."""

    holder: str | None


@dataclass(frozen=True, slots=True)
class Superseded:
    """A later report of the same node is answered instead."""


class Leader:
    """One agent's part in leading; `coordinator` is None while it doesn't."""

    def __init__(self, name: str, site: Site, *, process: Process) -> None:
        self.name, self.site, self.process = name, site, process
        self.coordinator: Coordinator | None = None
        self._held: dict[str, tuple[Report, Reply]] = {}
        self._stand = LeaseView(site.lease, name)

    def run(self, first_s: float) -> None:
        """Look at the Kubernetes Lease every few seconds, if a candidate."""
        if self.name in self.site.candidates:
            self.process.again(PERIOD_S, self._elect, first_s=first_s)

    def lead(self) -> None:
        """Take the Kubernetes Lease, whoever holds it, and begin to lead."""
        epoch = self.site.lease.take(self.name)
        self.site.declare(self.site.domain)
        self.coordinator = Coordinator(self.site.domain, epoch, now=self.process.now)

    def configure(self) -> None:
        """Take the domain as it is declared now."""
        if self.site.lease.available and self.coordinator is not None:
            self.coordinator.configure(self.site.domain, self.process.now)
            self._flush()

    def serve(self, report: Report, reply: Reply) -> None:
        """Hold a report, or say who leads."""
        leader, lease = self.coordinator, self.site.lease
        if leader is None or leader.over or not leader.knows(report):
            reply(Elsewhere(lease.record.holder if lease.available else None))
            return
        leader.receive(report, self.process.now)
        if not leader.expects(report):
            reply(Superseded())
            return
        before = self._held.pop(report.node, None)
        self._held[report.node] = (report, reply)
        if before is not None:
            before[1](Superseded())
            self._answer(report.node, report.sequence)
        else:
            self.process.later(HOLD_S, lambda: self._answer(report.node, report.sequence))
        self._flush()

    def _answer(self, node: str, sequence: int) -> None:
        held = self._held.get(node)
        if held is None or held[0].sequence != sequence:
            return
        del self._held[node]
        leader = self.coordinator
        if leader is None or node not in leader.members:
            held[1](Elsewhere(None))
            return
        if not leader.expects(held[0]):
            held[1](Superseded())
            return
        leader.decide(self.process.now)
        held[1](Elsewhere(None) if leader.over else leader.answer(node, self.process.now))

    def _flush(self) -> None:
        for node, (report, _) in list(self._held.items()):
            leader = self.coordinator
            if leader is not None and (node not in leader.members or leader.urgent(node)):
                self._answer(node, report.sequence)

    def _elect(self) -> None:
        lease = self.site.lease
        if self.coordinator is not None and self.coordinator.over:
            self.coordinator = None
        if not lease.available:
            return
        leader, self.coordinator = self.coordinator, None
        step = self._stand.step(leader.epoch if leader is not None else None, self.process.now)
        if step is Step.RENEW and leader is not None:
            lease.write(self.name, lease.record.transitions)
            leader.renewed(self.process.now)
            self.coordinator = leader
        elif step is Step.ACQUIRE:
            self.lead()
