"""
An agent and its guard, as the protocol sees them.

The agent keeps one report outstanding, reports out of turn past its trigger, takes
leases by `leases.accept`, and steps down at its deadline. Killed, its memory is gone;
its guard and the armed record stay. What a candidate does besides is in `leaders`.
"""

from dataclasses import dataclass, field
from functools import partial

from loadline_policies.errors import LeaseRefused
from loadline_policies.power.protocol import leases
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.leases import Standing
from loadline_policies.power.protocol.messages import Act, GpuReport, Lease, Report
from loadline_policies.power.protocol.triggers import worth_telling
from loadline_sim.virtual.hardware import Hardware
from loadline_sim.virtual.leaders import Elsewhere, Leader
from loadline_sim.virtual.links import Reply
from loadline_sim.virtual.processes import Process
from loadline_sim.virtual.sites import Site

GIVE_UP_S = 1.5
GUARD_S = 0.5
REFUSED_S = 0.25


@dataclass(slots=True)
class AgentRecord:
    """What the agent shares with its guard, and what outlives a crash."""

    armed: bool = False
    deadline_s: float = float("inf")
    safe_watts: list[float] = field(default_factory=list)
    found_watts: list[float] | None = None


class Agent:
    """One node's agent with its guard. `record` and the guard outlive the process."""

    def __init__(self, site: Site, hardware: Hardware, *, phase_s: float = 0.0) -> None:
        self.site, self.hardware = site, hardware
        self.name = hardware.rating.node
        self.record = AgentRecord()
        self.refused: dict[str, int] = {}
        self.process = Process(site.world)
        site.peers[self.name] = self
        site.world.every(GUARD_S, self._guard, first_s=phase_s / 2)
        self.start(phase_s)

    def start(self, phase_s: float = 0.0) -> None:
        """Begin, or begin again after a crash; an armed record gives one lease time."""
        self.process.begin()
        self.leader = Leader(self.name, self.site, process=self.process)
        self.standing = Standing()
        self._sequence = int(self.process.now * 1000)
        self._sent: dict[int, Report] = {}
        self._target = 0
        self._told_watts, self._slack_watts = 0.0, float("inf")
        if self.record.armed:
            self.standing = leases.inherited(self.site.domain.timings.lease_s, self.process.now)
            self._keep(self.record.safe_watts)
        self.process.later(phase_s, self.report)
        self.leader.run(phase_s)

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
        if worth_telling(self._watts(), told_watts=self._told_watts, slack_watts=self._slack_watts):
            self.report()

    def _watts(self) -> float:
        return sum(self.hardware.watts()) + self.hardware.host_watts

    def report(self) -> None:
        """Send a report to whoever is believed to lead."""
        self._sequence += 1
        sequence, sent_s = self._sequence, self.process.now
        report = self._sent[sequence] = self._report(sequence)
        self._told_watts = report.watts
        name = self.site.candidates[self._target % len(self.site.candidates)]
        target = self.site.peers[name]

        def reply(answer: object) -> None:
            arrival = partial(self._answered, sequence, sent_s, answer)
            self.site.link.carry(lambda: self.process.happens(arrival))

        self.site.link.carry(lambda: target.reported(report, reply))
        self.process.later(GIVE_UP_S, lambda: self._given_up(sequence))

    def _report_again(self) -> None:
        if self._sequence not in self._sent:
            self.report()

    def _report(self, sequence: int) -> Report:
        holding = self.standing.holding
        rating = self.hardware.rating
        ordered = {limit.uuid: limit.watts for limit in holding.lease.limits} if holding else {}
        clocks = {limit.uuid: limit.clock_mhz for limit in holding.lease.limits} if holding else {}
        safe = self.record.safe_watts if self.record.armed else [None] * len(rating.gpus)
        rows = zip(rating.gpus, self.hardware.watts(), self.hardware.enforced_watts(), safe, strict=True)
        return Report(
            node=self.name,
            domain=self.site.domain.name,
            sequence=sequence,
            age_s=0.1,
            host_watts=self.hardware.host_watts,
            host_max_watts=rating.host_max_watts,
            gpus=tuple(
                GpuReport(
                    uuid=gpu.uuid,
                    watts=watts,
                    enforced_watts=max(
                        enforced, ordered.get(gpu.uuid, 0.0) if self.standing.live(self.process.now) else 0.0
                    ),
                    min_watts=gpu.min_watts,
                    max_watts=gpu.max_watts,
                    safe_watts=safe_watts,
                    clock_mhz=clocks.get(gpu.uuid),
                    owners=self.site.owners.get(self.name, ()),
                )
                for gpu, watts, enforced, safe_watts in rows
            ),
            epoch=self.standing.epoch,
            lease_sequence=holding.lease.sequence if holding else 0,
            armed=self.record.armed,
            plan_version=holding.lease.plan_version if holding else 0,
            heat=holding.lease.heat if holding else None,
            settable=rating.settable,
            services=self.site.services.get(self.name, ()),
        )

    def _given_up(self, sequence: int) -> None:
        if self._sent.pop(sequence, None) is not None and sequence == self._sequence:
            self._target += 1
            self.report()

    def _answered(self, sequence: int, sent_s: float, answer: object) -> None:
        report = self._sent.pop(sequence, None)
        if report is None:
            return
        if isinstance(answer, Elsewhere):
            self._turn_to(answer.holder)
        elif (
            isinstance(answer, Lease)
            and self._take(answer, report, sent_s=sent_s)
            and sequence == self._sequence
        ):
            self.report()

    def _turn_to(self, holder: str | None) -> None:
        candidates = self.site.candidates
        self._target = candidates.index(holder) if holder in candidates else self._target + 1
        self.process.later(0.2, self._report_again)

    def _take(self, lease: Lease, report: Report, *, sent_s: float) -> bool:
        try:
            self.standing = leases.accept(
                self.standing,
                lease,
                domain=self.site.domain.name,
                gpus=report.gpus,
                sequence=report.sequence,
                sent_s=sent_s,
                now=self.process.now,
            )
        except LeaseRefused as refused:
            self.refused[refused.reason] = self.refused.get(refused.reason, 0) + 1
            self.process.later(REFUSED_S, self._report_again)
            return False
        self._slack_watts = lease.trigger_watts - report.watts
        if lease.act is Act.ENFORCE:
            self._enforce(lease)
        elif lease.act is Act.RELEASE:
            self._release()
        return True

    def _enforce(self, lease: Lease) -> None:
        if self.record.found_watts is None:
            self.record.found_watts = self.hardware.enforced_watts()
        self._keep([limit.safe_watts for limit in lease.limits])
        for index, limit in enumerate(lease.limits):
            self.hardware.set_limit(index, limit.watts)
            self.hardware.set_clock(index, limit.clock_mhz)

    def _release(self) -> None:
        for index, watts in enumerate(self.record.found_watts or ()):
            self.hardware.set_limit(index, watts)
            self.hardware.set_clock(index, None)
        self.record = AgentRecord()
        self.standing = leases.released(self.standing)

    def _keep(self, safe_watts: list[float]) -> None:
        self.record.armed = True
        self.record.safe_watts = list(safe_watts)
        deadline_s = self.standing.deadline_s
        assert deadline_s is not None
        self.record.deadline_s = deadline_s
        self.process.later(max(0.0, deadline_s - self.process.now), self._deadline)

    def _deadline(self) -> None:
        if self.record.armed and self.process.now >= self.record.deadline_s:
            self._step_down()

    def _guard(self) -> None:
        if self.record.armed and self.process.now >= self.record.deadline_s:
            self._step_down()

    def _step_down(self) -> None:
        for index, enforced in enumerate(self.hardware.enforced_watts()):
            self.hardware.set_limit(index, leases.stepped_down(enforced, self.record.safe_watts[index]))
