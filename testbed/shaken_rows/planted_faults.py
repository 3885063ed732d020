"""
Faults that the product had, or might have had, planted again: a bench that doesn't find them proves nothing.

Each is one sentence of the review's (`#1` … `#31`) or one line that somebody could get wrong, put in
place of the product's own for the time of a `with`. The numbers are those of the first review of the
protocol, at commit c331ef4.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from loadline_policies.power.protocol import (
    accepted_domains,
    coordinators,
    heat_counts,
    leases,
    members,
    node_reports,
    nodes,
    plausibility,
    safe_limit_plans,
)
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.foreign_writes import ForeignWrites
from loadline_policies.power.protocol.gpu_limits import Raising
from loadline_policies.power.protocol.lease_acts import act_of
from loadline_policies.power.protocol.members import Member, rating_of
from loadline_policies.power.protocol.messages import Act, GpuReport, Report
from loadline_policies.power.protocol.planned_members import PlannedMembers
from loadline_policies.power.protocol.write_proofs import WriteProof
from loadline_policies.power.safety.safe_states import NodeRating
from loadline_sim.virtual import node_gpus
from loadline_sim.virtual.agents import Agent

Patch = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """A fault by name, and what to patch for it."""

    name: str
    patches: tuple[Patch, ...]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product with the fault in it."""
        with ExitStack() as stack:
            for patched in self.patches:
                stack.enter_context(patched())
            yield


def _let_go_when_faulty(member: Member, domain: Domain, **told: Any) -> Act:
    """Whoever has a fault is released like one that has left."""
    report = member.report
    assert report is not None
    if report.faults and member.armed:
        return Act.RELEASE if told["releasable"]() else Act.ENFORCE
    return act_of(member, domain, **told)


def _rating_without_faults(report: Report) -> NodeRating:
    return replace(rating_of(report), settable=report.settable)


def _claimed_twice(node: nodes.Node, now: float) -> dict[str, str]:
    conflict = node.home.conflict
    return node.state.faults | ({"NodeClaimedTwice": conflict} if conflict is not None else {})


def _kept_but_timings(domain: Domain, declared: Domain, *, joins: bool) -> Domain:
    return replace(accepted_domains_kept(domain, declared, joins=joins), timings=declared.timings)


accepted_domains_kept = accepted_domains._kept


def _heat_as_told(told: Any, *_: Any, **__: Any) -> float:
    heat: float = told.heat
    return heat


def _known_if_armed(coordinator: coordinators.Coordinator, report: Report) -> bool:
    return report.domain == coordinator.domain.name and (report.node in coordinator.members or report.armed)


def _aim_at_once(plan: safe_limit_plans.SafeLimitPlan, target: Any, *_: Any, **__: Any) -> None:
    plan.target = dict(target)
    plan._give(dict(target))


def _safe_whatever_holds(**told: int) -> int:
    return told["safe_mw"]


def _unbounded(heat: float) -> float:
    return heat


def _believed(doubts: plausibility.Doubts, report: Report) -> Report:
    return report


def _falls_by_record(member: Member, gpu: GpuReport, fresh: bool) -> float:
    return gpu.enforced_watts if gpu.safe_watts is None else gpu.safe_watts


def _always(*_: Any, **__: Any) -> bool:
    return True


def _never(*_: Any, **__: Any) -> bool:
    return False


def _fault(name: str, *patches: Patch) -> PlantedFault:
    return PlantedFault(name, patches)


def _on(target: Any, attribute: str, value: Any) -> Patch:
    return lambda: patch.object(target, attribute, value)


FAULTS: Mapping[str, PlantedFault] = {
    fault.name: fault
    for fault in (
        _fault("#1 setters that fail count at safe", _on(WriteProof, "able", property(_always))),
        _fault(
            "#2 members with a fault are let go and counted at safe",
            _on(coordinators, "act_of", _let_go_when_faulty),
            _on(members, "rating_of", _rating_without_faults),
        ),
        _fault(
            "#3 a rival domain in Observe disarms the row",
            _on(coordinators, "act_of", _let_go_when_faulty),
            _on(members, "rating_of", _rating_without_faults),
            _on(nodes.Node, "faults", _claimed_twice),
        ),
        _fault("#4 heat is counted by nobody while nobody leads", _on(heat_counts, "_grown", _heat_as_told)),
        _fault("#5 refused timings take effect", _on(accepted_domains, "_kept", _kept_but_timings)),
        _fault(
            "#6 leases that are declared are refused by every node", _on(leases, "LEASE_SECONDS", (2, 3.0))
        ),
        _fault(
            "#7 no bounds on the wire",
            _on(plausibility, "check", lambda report: None),
            _on(plausibility.Doubts, "believed", _believed),
            _on(heat_counts, "_bounded", _unbounded),
        ),
        _fault("#8 any armed node is a member", _on(coordinators.Coordinator, "knows", _known_if_armed)),
        _fault(
            "#10 a raise under way is reported as the old limit",
            _on(node_reports.UnsettledLimits, "ordered", lambda *_: node_reports.SETTLED),
            _on(node_gpus.VirtualGpus, "_requested", node_gpus.VirtualGpus._enforced),
        ),
        _fault(
            "#11 a silent node that booted anew counts at its last limit",
            _on(members, "REBOOTED_AFTER_S", float("inf")),
        ),
        _fault(
            "#31 a node that leaves with an order on its way is forgotten",
            _on(Member, "bound", property(lambda member: member.armed)),
        ),
        _fault("nobody is planned for", _on(PlannedMembers, "look", _never)),
        _fault(
            "a silent member falls to the safe limit in its record",
            _on(Member, "_falls_watts", _falls_by_record),
        ),
        _fault(
            "limits rise however unsure it is to lead alone",
            _on(coordinators.Coordinator, "raising", lambda *_: Raising.FREELY),
        ),
        _fault("plans are given at once", _on(safe_limit_plans.SafeLimitPlan, "aim", _aim_at_once)),
        _fault("no node steps down at its deadline", _on(Agent, "_keep_deadline", lambda agent: None)),
        _fault(
            "a step down goes to safe also from below", _on(node_gpus, "lowered_mw", _safe_whatever_holds)
        ),
        _fault("a release looks at no headroom", _on(coordinators, "has_headroom", _always)),
        _fault("heat is never counted", _on(heat_counts.HeatCount, "advance", lambda *_, **__: None)),
        _fault(
            "foreign writes don't matter",
            _on(ForeignWrites, "often", _never),
        ),
    )
}
"""By name. #9 isn't here: which GPUs there are is found below what a row on paper has."""
