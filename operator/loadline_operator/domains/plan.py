"""
What to write for one power domain: its Lease with the candidates, and our half of its status.

Pure: everything that was seen comes in, what should be different goes out, and planning
the result again gives nothing. The Lease's spec belongs to whoever holds it and is never
part of a manifest here; the candidates in the status follow the Lease, so that nobody
who isn't on the Lease is ever let at the status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from loadline_api import label_forms
from loadline_api.conditions import Condition, ConditionType, find, merge
from loadline_api.names import (
    CANDIDATES_ANNOTATION,
    DOMAIN_LABEL,
    NODE_RESTRICTION_PREFIX,
    lease_name,
)
from loadline_api.power_domains import OperatorDomainStatus
from loadline_api.reasons import Reason
from loadline_api.sentences import counted
from loadline_operator import events
from loadline_operator.domains import coordinator_candidates, trees
from loadline_operator.domains.facts import Capacity, Domain, DomainLease, Node
from loadline_operator.domains.safety import Safety, check
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import LEASES, POWER_DOMAINS, Key, Manifest
from loadline_operator.policies.documents import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the plan of a domain looks at beside the domain itself."""

    system_namespace: str
    domains: tuple[Domain, ...]
    nodes: tuple[Node, ...]
    capacities: Mapping[str, Capacity]
    lease: DomainLease | None
    document: Document | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to apply, the Lease first; empty when everything is as it should be."""

    lease: Manifest | None = None
    status: Manifest | None = None
    events: tuple[Manifest, ...] = ()
    wanted: OperatorDomainStatus | None = None

    def __bool__(self) -> bool:
        return self.lease is not None or self.status is not None


def plan(domain: Domain, observed: Observed, *, now: datetime) -> Changes:
    """What to write so that Lease and status say what is so; nothing, when they do."""
    members = trees.members_of(domain, observed.nodes)
    chosen = _candidates(domain, members, observed)
    safety = check(domain.spec, members, observed.capacities)
    wanted = OperatorDomainStatus(
        observed_generation=domain.generation,
        members=tuple(node.name for node in members),
        candidates=chosen,
        lease_name=lease_name(domain.name) if domain.labels else None,
        policy_hash=_policy_hash(domain, observed.document),
        safe_watts=safety.safe_watts,
        max_watts=safety.max_watts,
        reaction_milliseconds=safety.reaction_ms,
        trip_milliseconds=safety.trip_ms,
        tolerates_silent_nodes=safety.tolerates_silent_nodes,
        conditions=merge(
            domain.status.conditions, _conditions(domain, members, observed=observed, safety=safety), now=now
        ),
    )
    return Changes(
        lease=_lease(domain, chosen, observed) if domain.labels else None,
        status=_status(domain, wanted) if wanted != domain.status else None,
        events=_events(domain, wanted, now=now),
        wanted=wanted,
    )


def _candidates(domain: Domain, members: tuple[Node, ...], observed: Observed) -> tuple[str, ...]:
    lease = observed.lease
    before = lease.candidates if lease is not None else domain.status.candidates
    holder = lease.holder if lease is not None else ""
    return coordinator_candidates.choose(members, known=observed.capacities, before=before, holder=holder)


def _lease(domain: Domain, chosen: tuple[str, ...], observed: Observed) -> Manifest | None:
    """The Lease as far as it is ours, if it isn't so already."""
    there = observed.lease
    if there is not None and (there.domain, there.owner_uid, there.candidates) == (
        domain.name,
        domain.uid,
        chosen,
    ):
        return None
    owner = {
        "apiVersion": POWER_DOMAINS.api_version,
        "kind": POWER_DOMAINS.kind,
        "name": domain.name,
        "uid": domain.uid,
    }
    return LEASES.manifest(
        Key(observed.system_namespace, lease_name(domain.name)),
        labels={DOMAIN_LABEL: domain.name},
        annotations={CANDIDATES_ANNOTATION: ",".join(chosen)},
        ownerReferences=[owner],
    )


def _status(domain: Domain, wanted: OperatorDomainStatus) -> Manifest:
    return {**POWER_DOMAINS.manifest(Key("", domain.name), uid=domain.uid), "status": wanted.to_api()}


def _policy_hash(domain: Domain, document: Document | None) -> str | None:
    """The last good hash that we know of; the one published before, if we have none ourselves."""
    good = document.good_hash if document is not None else None
    return good or domain.status.policy_hash


def _conditions(
    domain: Domain, members: tuple[Node, ...], *, observed: Observed, safety: Safety
) -> tuple[Condition, ...]:
    fault = _fault(domain, members, observed)
    accepted = fault or (safety.fits if domain.labels else _parent(domain, observed))
    enforceable = fault or (safety.in_time if domain.labels else _by_children())
    findings = {
        ConditionType.ACCEPTED: accepted,
        ConditionType.ENFORCEABLE: enforceable,
        ConditionType.POLICY_VALID: _policy(domain, observed.document),
        ConditionType.SELECTOR_TRUSTED: _selector(domain),
    }
    return tuple(one.as_condition(type, generation=domain.generation) for type, one in findings.items())


def _fault(domain: Domain, members: tuple[Node, ...], observed: Observed) -> Finding | None:
    """What is wrong with the domain's place among the others, if anything."""
    parent = domain.spec.parent
    loop = trees.loop_through(domain.name, trees.parents_of(observed.domains))
    if loop:
        text = (
            f"spec.parent is {parent}, which leads back to this domain ({' → '.join(loop)}): remove parent"
            " from one of them"
        )
        return Finding(so=False, reason=Reason.OWN_ANCESTOR, text=text)
    if parent is not None and parent not in {one.name for one in observed.domains}:
        text = f"spec.parent is {parent}, which does not exist: create that PowerDomain, or remove parent"
        return Finding(so=False, reason=Reason.PARENT_MISSING, text=text)
    armed = {name: one.armed_for for name, one in observed.capacities.items() if one.armed_for is not None}
    claimed = trees.rivals(domain, members, observed.domains, armed_for=armed)
    if claimed:
        node, other = next(iter(claimed.items()))
        text = (
            f"nodeSelector matches {counted(len(claimed), 'node')} of another domain ({node} is in {other}):"
            " change the nodeSelectors so that each node matches only one"
        )
        return Finding(so=False, reason=Reason.NODE_CLAIMED_TWICE, text=text)
    if domain.labels and not members:
        return _memberless(domain)
    return _overspent(domain, observed)


def _memberless(domain: Domain) -> Finding:
    """Why no node is selected: none can be, by the labels' form, or none has them."""
    for key, value in sorted(domain.labels.items()):
        fault = label_forms.fault(key, value)
        if fault is not None:
            text = f"nodeSelector.matchLabels has {key}: {value}, which no node can have: {fault}"
            return Finding(so=False, reason=Reason.SELECTOR_INVALID, text=text)
    asked = ", ".join(f"{key}: {value}" for key, value in sorted(domain.labels.items()))
    text = f"no node has the labels of nodeSelector.matchLabels ({asked}): label the nodes, or change it"
    return Finding(so=False, reason=Reason.NO_MEMBERS, text=text)


def _overspent(domain: Domain, observed: Observed) -> Finding | None:
    children = trees.children_of(domain.name, observed.domains)
    promised = sum(child.spec.budget_watts for child in children)
    if promised <= domain.spec.budget_watts:
        return None
    text = (
        f"budgetWatts is {domain.spec.budget_watts}, but the child domains"
        f" {', '.join(c.name for c in children)} have {promised} W together: raise it, or lower theirs"
    )
    return Finding(so=False, reason=Reason.BUDGET_TOO_SMALL, text=text)


def _parent(domain: Domain, observed: Observed) -> Finding:
    children = trees.children_of(domain.name, observed.domains)
    if not children:
        text = "the domain has no nodeSelector, and no domain names it as its parent: add one of the two"
        return Finding(so=False, reason=Reason.NO_MEMBERS, text=text)
    promised = sum(child.spec.budget_watts for child in children)
    family = counted(len(children), "child", "children")
    text = f"the budgets of {family} add up to {promised} W, within budgetWatts"
    return Finding(so=True, reason=Reason.AS_DECLARED, text=text)


def _by_children() -> Finding:
    text = "the domain has no nodes of its own; its child domains set limits"
    return Finding(so=None, reason=Reason.NO_MEMBERS, text=text)


def _policy(domain: Domain, document: Document | None) -> Finding:
    name = domain.spec.policy_ref.name
    last = domain.status.policy_hash
    if document is None:
        text = f"policyRef.name is {name}: no ConfigMap of that name labelled loadline.dev/policy: power"
        kept = f"; the last good policy ({last}) stays in force" if last else ""
        return Finding(
            so=False, reason=Reason.POLICY_MISSING, text=f"{text} is in Loadline's namespace{kept}"
        )
    if document.valid:
        text = f"{name} is in force: {document.policy}, {document.good_hash}"
        return Finding(so=True, reason=Reason.PARSED, text=text)
    text = f"{name}: {document.fault}; {_kept(document.good_hash, last)}"
    return Finding(so=False, reason=Reason.POLICY_INVALID, text=text)


def _kept(good: str | None, published: str | None) -> str:
    """What a broken document leaves in force, as far as this operator can tell."""
    if good is not None:
        return f"the last good policy ({good}) stays in force"
    if published is not None:
        return f"the coordinator keeps the last good policy ({published}), which this operator has not read"
    return "the operator has not read a valid version yet"


def _selector(domain: Domain) -> Finding:
    loose = sorted(key for key in domain.labels if not key.startswith(NODE_RESTRICTION_PREFIX))
    if len(loose) < len(domain.labels) or not domain.labels:
        return Finding(so=True, reason=Reason.LABEL_RESTRICTED, text="")
    text = (
        f"nodeSelector.matchLabels uses {', '.join(loose)}, which a kubelet can change to take its node out"
        f" of the domain: select by a label under {NODE_RESTRICTION_PREFIX}"
    )
    return Finding(so=False, reason=Reason.LABEL_UNRESTRICTED, text=text)


def _events(domain: Domain, wanted: OperatorDomainStatus, *, now: datetime) -> tuple[Manifest, ...]:
    """An Event for each promise that has just become one that can't be kept."""
    fallen = {
        now_so.reason: now_so
        for type in (ConditionType.ENFORCEABLE, ConditionType.ACCEPTED)
        if (now_so := find(wanted.conditions, type)) is not None
        and now_so.status == "False"
        and not _was_so(domain, type, reason=now_so.reason)
    }
    return tuple(
        events.domain_refused(
            Key("", domain.name),
            uid=domain.uid,
            generation=domain.generation,
            reason=one.reason,
            text=one.message,
            now=now,
        )
        for one in fallen.values()
    )


def _was_so(domain: Domain, type: ConditionType, *, reason: str) -> bool:
    before = find(domain.status.conditions, type)
    return before is not None and (before.status, before.reason) == ("False", reason)
