"""
One elected node's view of its domain, and the leases that it answers with.

The policy says what it would like; this module keeps the promises. It counts
silent nodes at their worst, integrates the breaker's heat, gives safe limits only
in the order that `safe_limit_plans` allows, and raises nobody above safe while it can't be
sure to be alone. Whatever it doesn't know makes it give less.

S2 is kept by one rule: limits lie above safe only while the heat is under a
ceiling from which one whole reaction, at the row's maximum, still doesn't trip.

There is no clock and no socket here. The agent's server feeds it reports and
renewals and sends what it answers; the simulator does the same in virtual time.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol import triggers
from loadline_policies.power.protocol.accepted_domains import AcceptedDomain
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.drills import Drills, RowBefore, obstacle
from loadline_policies.power.protocol.gpu_limits import HoldReason, Raising, RowOrders, limit_of, taken_over
from loadline_policies.power.protocol.heat_counts import HeatCount
from loadline_policies.power.protocol.lease_acts import act_of, has_headroom
from loadline_policies.power.protocol.member_evidence import evidence_of
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Act, Epoch, GpuLimit, GpuReport, Lease, Report
from loadline_policies.power.protocol.planned_members import PlannedMembers
from loadline_policies.power.protocol.policy_runs import PolicyRun, PolicyStep
from loadline_policies.power.protocol.release_waits import ReleaseWaits
from loadline_policies.power.protocol.relievers import Reliever
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.protocol.safe_limit_plans import SafeLimitPlan
from loadline_policies.power.protocol.tenures import Tenure
from loadline_policies.power.protocol.write_proofs import probes
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.reliefs import Relieve
from loadline_policies.power.rows import Caps, Row
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, Safety

AWAITED_S: Final = 10.0
"""How long a node that joins has to report before it counts as one that nobody can limit. Chosen."""

ASSESS_EVERY_S: Final = 0.25
"""How often at most the plan is made anew because of what reports say: it looks at every GPU of the row."""

Observe: TypeAlias = Callable[[PolicyStep, Domain, Epoch], None]
"""Called with every decision of the policy, the declaration in force and the epoch, for a journal."""


def unobserved(step: PolicyStep, domain: Domain, epoch: Epoch) -> None:
    """Keep nothing of a decision."""


class Coordinator:
    """Leads one domain for one epoch.

    `receive` takes a report, `answer` makes the lease for a node, `urgent` says whether a
    node's held request should be answered now instead of at its time. Once `over` is true
    it must not answer any more. `renewed_sent_s` is when the renewal by which it leads was
    sent, `now` if it has only just been. `relieve` decides who is let off a cap, `observe` is
    called with every decision of the policy.
    """

    def __init__(
        self,
        domain: Domain,
        epoch: Epoch,
        *,
        now: float,
        renewed_sent_s: float | None = None,
        relieve: Relieve = reliefs.decide,
        observe: Observe = unobserved,
    ) -> None:
        self.epoch = epoch
        self.brakes = 0
        self._accepted = AcceptedDomain(domain)
        self.members = Roster(domain.timings.silent_after_s)
        self._plan = SafeLimitPlan()
        self._planned = PlannedMembers()
        self._orders = RowOrders(caps=Caps())
        self._policy = PolicyRun(
            domain.document, lambda step: observe(step, self._accepted.domain, self.epoch)
        )
        self._reliever = Reliever(relieve)
        self._drills = Drills(domain.drill)
        self._release_waits = ReleaseWaits()
        self._sequence = 0
        self._tenure = Tenure(
            epoch, now=now, renewed_sent_s=now if renewed_sent_s is None else renewed_sent_s
        )
        self.heat_count = HeatCount()
        self._decided_s = now
        self._assess_again_s = float("inf")
        self._unassessed, self._assessed_s = False, float("-inf")
        self._stirred_by: tuple[object, ...] = ()
        self._watts = 0.0
        self._above = False
        self.members.enlist(domain)
        self.configure(domain, now)

    def configure(self, domain: Domain, now: float) -> None:
        """Take a new declaration; one that S1 or S2 refuse leaves the last good one in force."""
        self._accepted.declare(domain)
        self._assess(now)
        if not domain.enforce:
            self._drills.stop("the domain isn't enforced any more", now)
        self._drills.hear(
            domain.drill, obstacle=partial(self._obstacle, now), row=partial(self._row_before, now), now=now
        )
        self.decide(now)

    @property
    def domain(self) -> Domain:
        """The declaration in force."""
        return self._accepted.domain

    @property
    def heat(self) -> float:
        """The breaker's heat as counted here: 0 is cold, 1 has tripped."""
        return self.heat_count.heat

    @property
    def safety(self) -> Safety | None:
        """What S1 and S2 say of it; None where no declaration was safe yet."""
        return self._accepted.safety

    @property
    def problem(self) -> UnsafeDomain | None:
        """Why what is declared isn't in force."""
        return self._accepted.problem

    def renewed(self, sent_s: float) -> None:
        """The API server has renewed the Kubernetes Lease; the request was sent at `sent_s`."""
        self._tenure.renewed(sent_s)

    def receive(self, report: Report, now: float) -> None:
        """Take a report that `knows` accepts, and decide anew."""
        member = self.members.setdefault(report.node, Member(report.node))
        if member.stale(report, now=now, silent_after_s=self.domain.timings.silent_after_s):
            return
        first, rating_before = member.report is None, member.rating
        unseen_watts = self.members.hear(report, now=now, epoch=self.epoch)
        self._accepted.find(member)
        if unseen_watts:
            more_load = SENSOR_GAIN * unseen_watts / self.domain.budget_watts
            self.heat_count.recount(self.domain.curve, more_load=more_load)
        self._tenure.hear(report, now)
        if report.epoch == self.epoch:
            self._drills.read(report, self._plan.given, now)
        if report.epoch != self.epoch and not (report.epoch is None and member.ours):
            self.heat_count.learn(report, self.domain, self.members, now=now)
            self._policy.learn(report)
        gone = report.node not in self.domain.members and not member.bound
        if gone:
            del self.members[report.node]
        self._unassessed |= gone or first or member.rating != rating_before or not self._plan.settled
        if first and self.members.acquainted:
            self._assess(now)
        self.decide(now)

    def knows(self, report: Report) -> bool:
        """Whether the report is for this domain: from a member, or from one that left and isn't released."""
        return report.domain == self.domain.name and report.node in self.members

    def refutes(self, report: Report) -> bool:
        """Whether the report tells of a higher epoch in which, as was proven, nobody leads."""
        return self._tenure.refutes(report)

    def expects(self, report: Report) -> bool:
        """Whether this is the member's latest report, the one to be answered."""
        latest = self.members[report.node].report if report.node in self.members else None
        return latest is not None and latest.sequence == report.sequence

    def decide(self, now: float) -> None:
        """Count the row, integrate heat, ask the policy, and see whether anybody must be told at once."""
        self._watts = self.members.watts(now)
        hot_watts = self.members.hot_watts(now)
        dt_s, self._decided_s = now - self._decided_s, now
        self.heat_count.advance(self.domain.curve, load=hot_watts / self.domain.budget_watts, dt_s=dt_s)
        self._tenure.check_alone(self.members, self.domain.timings, now=now)
        self._plan_for_outsiders(now)
        self._drills.weigh(hot_watts, now)
        if self._tenure.young(self.domain.timings, now) and not self.members.acquainted:
            self._orders = RowOrders(caps=Caps(), held=HoldReason.NEW)
            return
        self.heat_count.settle(self.safety.ceiling_heat if self.safety is not None else None)
        self.brakes += self.load > 1.0 and not self._above
        self._above = self.load > 1.0
        self._policy.configure(self.domain.document)
        shown_watts = self._drills.shown_watts(self._watts, now)
        row = Row(shown_watts / self.domain.budget_watts, self.members.age_s(now))
        caps = self._policy.decide(row, now)
        orders = RowOrders(caps=caps, held=self._held(now) or self._drills.reason(now))
        raising = partial(self.raising, now)
        self._orders = self._reliever.relieved(
            orders, self.domain, self.members, watts=shown_watts, raising=raising, now=now
        )

    def answer(self, node: str, now: float) -> Lease:
        """The lease for a member, as the answer to its last report."""
        member = self.members[node]
        assert member.report is not None, "an answer needs a report"
        self._sequence += 1
        act = self._act(member, now)
        limits: tuple[GpuLimit, ...] = ()
        if act is Act.ENFORCE:
            limits = self._limits(member, now)
            self.members.order(member, limits, self._sequence)
        elif act is Act.RELEASE:
            self.members.release(member, self._sequence, now)
        self.members.give_slack(member, self._slack_watts())
        member.told = self._orders
        return Lease(
            domain=self.domain.name,
            epoch=self.epoch,
            sequence=self._sequence,
            answers=member.report.sequence,
            lease_s=self.domain.timings.lease_s,
            act=act,
            limits=limits,
            plan_version=self._plan.version,
            trigger_watts=round(member.report.watts + member.slack_watts, 1),
            heat=round(self.heat, 4),
            level=self.level,
            policy_hash=self.domain.document.hash,
            policy_level=self._policy.level,
        )

    def stirred(self) -> bool:
        """Whether somebody who waits may have to hear at once, since this was last asked.

        That changes for all at once, and seldom; to ask each of them with every report of another costs
        the square of the row.
        """
        orders = self._orders
        caps, enforce, members = orders.caps, self.domain.enforce, self.members.version
        told = orders.safe, caps.low, caps.high, orders.relieved, enforce, members
        stirred = told != self._stirred_by or self._blind()
        self._stirred_by = told
        return stirred

    def urgent(self, node: str) -> bool:
        """Whether a node must hear now: it would get less, or its slack could help to hide a crossing."""
        member = self.members[node]
        if self.domain.enforce and self._orders.lowers(member.told, member.uuids):
            return True
        return member.slack_watts > 2 * self._slack_watts() and self._blind()

    @property
    def over(self) -> bool:
        """Whether it must not answer any more."""
        return self._tenure.over

    @property
    def load(self) -> float:
        """The row's draw as a fraction of its budget."""
        return self._watts / self.domain.budget_watts

    @property
    def level(self) -> str:
        """The policy's state, or why the row is held at safe."""
        return str(self._orders.held or self._orders.caps.level)

    @property
    def caps(self) -> Caps:
        """What the row was last told or, where nothing is enforced, would have been."""
        return self._orders.caps

    def look(self, now: float) -> None:
        """Follow what goes by all members and changes slowly: once a second, not with every report."""
        self._tenure.follow(self.members, now, enforced=self.domain.enforce)
        self._release_waits.look(self.members, self.domain, now)

    def hears_too_few(self, now: float) -> bool:
        """Whether another candidate might hear more of the members, since too few are heard here for long."""
        return self._tenure.hears_too_few(self.domain.timings, now)

    def raising(self, now: float) -> Raising:
        """How far limits may rise, given how sure this coordinator can be to lead alone."""
        return self._tenure.raising(self.members, self.domain.timings, now=now)

    def domain_state(self, now: float) -> DomainState:
        """All that people may want to know of the domain now."""
        return DomainState(
            watts=self._watts,
            load=self.load,
            age_s=self.members.age_s(now),
            headroom_watts=self.domain.budget_watts - self._watts,
            level=self.level,
            held=self._orders.held,
            heat=self.heat,
            brakes=self.brakes,
            nodes=len(self.members),
            silent=self.members.silent(now),
            enforcing=self.members.enforcing,
            agreed=self.members.agreed_watts(self._plan.given) <= self.domain.budget_watts,
            safety=self.safety,
            problem=self.problem,
            policy_hash=self.domain.document.hash,
            relieved=self._reliever.relief.services,
            waiting=self._reliever.relief.waiting,
            drill=self._drills.last,
            evidence=evidence_of(
                self.members,
                budget_watts=self.domain.budget_watts,
                unholdable_watts=self._accepted.unholdable_watts,
                now=now,
            ),
            release=self._release_waits.state(self.members, self.domain, now),
        )

    def _assess(self, now: float) -> None:
        self._unassessed, self._assessed_s = False, now
        patient, before = self._tenure.patient(self.domain.timings, now), self.domain
        self._accepted.assess(self.members, patient=patient, now=now)
        if self.domain is not before:
            self._assess_again_s = now + AWAITED_S
            self.members.enlist(self.domain, awaited_until_s=self._assess_again_s)
        if self._accepted.limits is None:
            self._assess_again_s = now + AWAITED_S
        else:
            growing = self.raising(now) is Raising.FREELY
            self._plan.aim(self._accepted.limits, self.members.values(), patient=patient, growing=growing)

    def _plan_for_outsiders(self, now: float) -> None:
        """Plan anew where it has changed who can be counted on, by what they do or by the time they had."""
        if now >= self._assess_again_s:
            self._assess_again_s = float("inf")
            self._assess(now)
        elif self._unassessed and now >= self._assessed_s + ASSESS_EVERY_S:
            self._assess(now)
        if self._accepted.limits is None:
            return
        borne_watts = self._accepted.borne_watts
        if self._planned.look(self.members, self._plan.given, borne_watts=borne_watts, now=now):
            self._assess(now)

    def _held(self, now: float) -> HoldReason:
        if self._accepted.unholdable:
            return HoldReason.UNHOLDABLE
        if self.safety is None:
            return HoldReason.UNKNOWN if self.members.enforcing else HoldReason.NOT
        if self.members.has_unplanned(max(0, self.safety.tolerates_silent_nodes), now):
            return HoldReason.SILENT
        return HoldReason.HEAT if self.heat > self.safety.ceiling_heat else HoldReason.NOT

    def _obstacle(self, now: float) -> str:
        """Why the row can't be drilled now; empty if it can."""
        held = HoldReason.UNKNOWN if self.safety is None else self._orders.held or self._held(now)
        return obstacle(self.domain, self.members, held=held, raising=self.raising(now), now=now)

    def _row_before(self, now: float) -> RowBefore:
        assert self.safety is not None, "without safe limits there is an obstacle"
        return RowBefore(
            members=self.members,
            watts=self._watts,
            hot_watts=self.members.hot_watts(now),
            safe_watts=self.safety.safe_watts,
            budget_watts=self.domain.budget_watts,
            sequence=self._sequence,
            settle_s=self.domain.timings.settle_s,
        )

    def _headroom_watts(self) -> float:
        return triggers.headroom_watts(
            self._orders.caps, watts=self._watts, budget_watts=self.domain.budget_watts
        )

    def _slack_watts(self) -> float:
        return triggers.slack_watts(
            self._headroom_watts(), budget_watts=self.domain.budget_watts, nodes=len(self.members)
        )

    def _blind(self) -> bool:
        given_watts = self.members.slack_watts
        return triggers.blinding(
            given_watts, headroom=self._headroom_watts(), budget_watts=self.domain.budget_watts
        )

    def _act(self, member: Member, now: float) -> Act:
        admitted = self._accepted.limits is not None and self._plan.admits(member)
        return act_of(
            member, self.domain, admitted=admitted, releasable=partial(self._may_release, member, now)
        )

    def _may_release(self, member: Member, now: float) -> bool:
        if self._drills.shadowing(now):
            return False
        return self.raising(now) is Raising.FREELY and has_headroom(
            member, self.members, self.domain, orders=self._orders, now=now
        )

    def _limits(self, member: Member, now: float) -> tuple[GpuLimit, ...]:
        assert member.report is not None
        raising = self.raising(now)
        limits = [
            limit_of(
                gpu,
                self._orders,
                self.domain,
                safe_watts=self._safe_watts(gpu, member),
                raising=raising,
                probe=probes(now),
            )
            for gpu in member.report.gpus
        ]
        if member.report.orphaned:
            limits = [taken_over(*pair) for pair in zip(limits, member.report.gpus, strict=True)]
        return tuple(limits)

    def _safe_watts(self, gpu: GpuReport, member: Member) -> float:
        """Where the GPU is told to fall: by the plan, or as it has it where the plan doesn't count on it."""
        if self._accepted.unholdable:
            return gpu.min_watts
        had_watts = max(gpu.min_watts, gpu.safe_watts or gpu.min_watts)
        if member.planned_watts is not None or not gpu.able:
            return min(had_watts, self._plan.given.get(gpu.uuid, had_watts))
        return self._plan.given.get(gpu.uuid, had_watts)
