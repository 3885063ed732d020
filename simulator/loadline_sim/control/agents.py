"""
An agent and its guard, as the protocol sees them.

The agent keeps one report outstanding, reports out of turn past its trigger, takes
leases by `leases.accept`, and steps down at its deadline. A candidate also runs for
the domain's Kubernetes Lease and, once elected, holds reports for up to a second.
An agent can be stopped (what was due happens late, on its return) and killed (its
memory is gone, its guard and the armed record stay).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from loadline_policies.errors import LeaseRefused
from loadline_policies.power import leases
from loadline_policies.power.coordinators import Coordinator
from loadline_policies.power.domains import Domain
from loadline_policies.power.elections import PERIOD_S, Step
from loadline_policies.power.elections import Record as KubeRecord
from loadline_policies.power.leases import Standing
from loadline_policies.power.messages import Act, GpuReport, Lease, Report
from loadline_sim.control.hardware import Hardware
from loadline_sim.control.kube_leases import KubeLease, Stand
from loadline_sim.control.links import Link, Reply
from loadline_sim.control.worlds import Happening, World

HOLD_S = 1.0
GIVE_UP_S = 1.5
GUARD_S = 0.5
REFUSED_S = 0.25


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Not the coordinator; perhaps that one is."""

    holder: str | None


@dataclass(slots=True)
class Record:
    """What the agent shares with its guard, and what outlives a crash."""

    armed: bool = False
    deadline_s: float = float("inf")
    safe_watts: list[float] = field(default_factory=list)
    found_watts: list[float] | None = None


@dataclass(slots=True)
class Site:
    """What all agents of a domain share: the world, the network, the API server and its objects."""

    world: World
    link: Link
    domain: Domain
    candidates: tuple[str, ...]
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    agents: dict[str, "Agent"] = field(default_factory=dict)
    lease: KubeLease = field(init=False)

    def __post_init__(self) -> None:
        self.lease = KubeLease(KubeRecord(uid=f"lease-{self.domain.name}", candidates=self.candidates))

    def declare(self, domain: Domain) -> None:
        """Change the domain's objects; a coordinator hears of it while the API server is there."""
        armed = {name for name, agent in self.agents.items() if agent.record.armed}
        self.domain = replace(domain, leaving=frozenset(armed - domain.members))
        for agent in self.agents.values():
            agent.happens(agent.configured)


class Agent:
    """One node's agent with its guard."""

    def __init__(self, site: Site, hardware: Hardware, phase_s: float = 0.0) -> None:
        self.site, self.hardware = site, hardware
        self.name = hardware.rating.node
        self.record = Record()
        self.refused: dict[str, int] = {}
        self.on_step_down: Callable[[], None] = lambda: None
        site.agents[self.name] = self
        self.up = False
        self.stopped = False
        self._late: list[Happening] = []
        self._life = 0
        site.world.every(GUARD_S, self._guard, phase_s / 2)
        self.start(phase_s)

    # --- life ---------------------------------------------------------------------------

    def start(self, phase_s: float = 0.0) -> None:
        """Begin, or begin again after a crash; an armed record gives one lease time."""
        self.up, self.stopped, self._late = True, False, []
        self._life += 1
        self.standing = Standing()
        self.coordinator: Coordinator | None = None
        self._held: dict[str, tuple[int, Reply]] = {}
        self._stand = Stand(self.site.lease, self.name)
        self._sequence = int(self.now * 1000)
        self._sent: dict[int, float] = {}
        self._target = 0
        self.trigger_watts = float("inf")
        if self.record.armed:
            self.standing = leases.inherited(self.site.domain.timings.lease_s, self.now)
            self._keep(self.record.safe_watts)
        life = self._life
        self.site.world.after(phase_s, lambda: self._alive(life, self.report))
        if self.name in self.site.candidates:
            self._elect_later(life, phase_s)

    def kill(self) -> None:
        """SIGKILL: memory and connections are gone, the guard and the record stay."""
        self.up = False
        self._life += 1

    def stop(self) -> None:
        """SIGSTOP: nothing happens until `resume`, then everything at once."""
        self.stopped = True

    def resume(self) -> None:
        """SIGCONT."""
        self.stopped, late = False, self._late
        self._late = []
        for happening in late:
            self.happens(happening)

    def happens(self, happening: Happening) -> None:
        """Let something happen to the agent: now, late, or never."""
        if self.up:
            if self.stopped:
                self._late.append(happening)
            else:
                happening()

    @property
    def now(self) -> float:
        """The node's clock."""
        return self.site.world.now

    def _alive(self, life: int, happening: Happening) -> None:
        if life == self._life:
            self.happens(happening)

    def _later(self, delay_s: float, happening: Happening) -> None:
        life = self._life
        self.site.world.after(delay_s, lambda: self._alive(life, happening))

    # --- leaf ---------------------------------------------------------------------------

    def sampled(self) -> None:
        """Look at the sensors: report out of turn past the trigger."""
        if sum(self.hardware.watts()) + self.hardware.host_watts > self.trigger_watts:
            self.trigger_watts = float("inf")
            self.report()

    def report(self) -> None:
        """Send a report to whoever is believed to lead."""
        self._sequence += 1
        sequence, sent_s = self._sequence, self.now
        self._sent[sequence] = sent_s
        report = self._report(sequence)
        name = self.site.candidates[self._target % len(self.site.candidates)]
        target = self.site.agents[name]
        life = self._life

        def reply(answer: object) -> None:
            self.site.link.carry(lambda: self._alive(life, lambda: self._answered(sequence, sent_s, answer)))

        self.site.link.carry(lambda: target.happens(lambda: target.serve(report, reply)))
        self._later(GIVE_UP_S, lambda: self._given_up(sequence))

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
                        enforced, ordered.get(gpu.uuid, 0.0) if self.standing.live(self.now) else 0.0
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
        )

    def _given_up(self, sequence: int) -> None:
        if self._sent.pop(sequence, None) is not None and sequence == self._sequence:
            self._target += 1
            self.report()

    def _answered(self, sequence: int, sent_s: float, answer: object) -> None:
        if self._sent.pop(sequence, None) is None:
            return
        if isinstance(answer, Elsewhere):
            self._turn_to(answer.holder)
        elif (
            isinstance(answer, Lease) and self._take(answer, sequence, sent_s) and sequence == self._sequence
        ):
            self.report()

    def _turn_to(self, holder: str | None) -> None:
        candidates = self.site.candidates
        self._target = candidates.index(holder) if holder in candidates else self._target + 1
        self._later(0.2, self._report_again)

    def _take(self, lease: Lease, sequence: int, sent_s: float) -> bool:
        report = self._report(sequence)
        try:
            self.standing = leases.accept(
                self.standing,
                lease,
                domain=self.site.domain.name,
                gpus=report.gpus,
                sequence=sequence,
                sent_s=sent_s,
                now=self.now,
            )
        except LeaseRefused as refused:
            self.refused[refused.reason] = self.refused.get(refused.reason, 0) + 1
            self._later(REFUSED_S, self._report_again)
            return False
        self.trigger_watts = lease.trigger_watts
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
        self.record = Record()
        self.standing = leases.released(self.standing)

    def _keep(self, safe_watts: list[float]) -> None:
        self.record.armed = True
        self.record.safe_watts = list(safe_watts)
        deadline_s = self.standing.deadline_s
        assert deadline_s is not None
        self.record.deadline_s = deadline_s
        self._later(max(0.0, deadline_s - self.now), self._deadline)

    def _deadline(self) -> None:
        if self.record.armed and self.now >= self.record.deadline_s:
            self._step_down()

    def _guard(self) -> None:
        if self.record.armed and self.now >= self.record.deadline_s:
            self._step_down()

    def _step_down(self) -> None:
        for index, enforced in enumerate(self.hardware.enforced_watts()):
            self.hardware.set_limit(index, leases.stepped_down(enforced, self.record.safe_watts[index]))
        self.on_step_down()

    # --- coordinator ----------------------------------------------------------------------

    def configured(self) -> None:
        """The API server's watch brought a change of the domain."""
        if self.site.lease.available and self.coordinator is not None:
            self.coordinator.configure(self.site.domain, self.now)
            self._flush()

    def serve(self, report: Report, reply: Reply) -> None:
        """A report has come in: hold it, or say who leads."""
        leader = self.coordinator
        if leader is None or leader.over or not leader.knows(report):
            reply(Elsewhere(self.site.lease.record.holder if self.site.lease.available else None))
            return
        leader.receive(report, self.now)
        if not leader.expects(report):
            return
        self._held[report.node] = (report.sequence, reply)
        self._later(HOLD_S, lambda: self._answer(report.node, report.sequence))
        self._flush()

    def _answer(self, node: str, sequence: int) -> None:
        held = self._held.get(node)
        if held is None or held[0] != sequence:
            return
        del self._held[node]
        leader = self.coordinator
        if leader is None or node not in leader.members:
            held[1](Elsewhere(None))
            return
        leader.decide(self.now)
        held[1](Elsewhere(None) if leader.over else leader.answer(node, self.now))

    def _flush(self) -> None:
        for node, (sequence, _) in list(self._held.items()):
            leader = self.coordinator
            if leader is not None and (node not in leader.members or leader.urgent(node)):
                self._answer(node, sequence)

    def _elect_later(self, life: int, delay_s: float) -> None:
        def again() -> None:
            if life == self._life:
                self.happens(self._elect)
                self._elect_later(life, PERIOD_S)

        self.site.world.after(delay_s, again)

    def _elect(self) -> None:
        lease = self.site.lease
        if self.coordinator is not None and self.coordinator.over:
            self.coordinator = None
        if not lease.available:
            return
        leader, self.coordinator = self.coordinator, None
        step = self._stand.step(leader.epoch if leader is not None else None, self.now)
        if step is Step.RENEW and leader is not None:
            lease.write(self.name, lease.record.transitions)
            leader.renewed(self.now)
            self.coordinator = leader
        elif step is Step.ACQUIRE:
            self.lead()

    def lead(self) -> None:
        """Take the Kubernetes Lease, whoever holds it, and begin to lead."""
        epoch = self.site.lease.take(self.name)
        self.site.declare(self.site.domain)
        self.coordinator = Coordinator(self.site.domain, epoch, self.now)
