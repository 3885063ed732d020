"""
What API objects mean to an agent: each kind made into the few values that matter.

An agent follows kinds that others write all the time: watts in PowerDomains, limits in
NodeCapacities, replicas in InferenceServices. Made small at once, two versions of an
object that differ only in such things are equal, so nobody is woken for them, and no
object stays in memory.

All functions here are pure. They raise InvalidInput where an object can't be used;
whoever follows it then keeps the last good one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from loadline_agent.domain.peers import Peer
from loadline_agent.domain.tls_identity import own_certificate
from loadline_agent.kube.clients import Object
from loadline_api import conditions
from loadline_api.conditions import ConditionType
from loadline_api.drills import SHOWN, DrillText
from loadline_api.host_labels import HostDraw, declared_draw, host_draw
from loadline_api.inference_services import MAX_PRIORITY, InferenceService
from loadline_api.names import DRILL_ANNOTATION, POLICY_KEY, UNKNOWN_OWNER
from loadline_api.node_capacities import Gpu, NodeCapacity
from loadline_api.power_domains import Mode, PowerDomain, PowerDomainSpec
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidInput, InvalidPolicy
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.drill_states import DrillOrder
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating, Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A PowerDomain without its measurements; `drill` is the order for one, as it was written."""

    name: str
    created: str
    spec: PowerDomainSpec
    members: frozenset[str]
    candidates: tuple[str, ...]
    drill: str | None = None

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels hangs on the domain itself, not on one below it."""
        selector = self.spec.node_selector
        return selector is not None and selector.match_labels.items() <= labels.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A NodeCapacity: who the node's agent is, and how far its GPUs can be set, None if not told yet.

    There is no `peer` where the certificate isn't the node's own, and `problem` says so: what the node can
    draw counts nevertheless. `armed_for` is the domain that the node enforces for, None where it doesn't;
    `host_max_watts` what its host draws at most, 0 if not told yet.
    """

    peer: Peer | None
    gpus: tuple[GpuRating, ...] | None
    settable: bool
    armed_for: str | None = None
    problem: str | None = None
    host_max_watts: float = 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document that can be used, and its text, which is what can be remembered."""

    text: str
    document: PowerDocument


def declared_of(thing: Object) -> Declared:
    """A PowerDomain's declaration, members and candidates."""
    domain = PowerDomain.parse(thing)
    return Declared(
        name=domain.metadata.name,
        created=domain.metadata.creation_timestamp,
        spec=domain.spec,
        members=frozenset(domain.status.members),
        candidates=domain.status.candidates,
        drill=domain.metadata.annotations.get(DRILL_ANNOTATION),
    )


def drill_of(text: str, *, wall_s: float, now: float) -> DrillOrder:
    """An order for a drill, with its age at `now`, when the wall clock shows `wall_s`.

    One that can't be used says why, and nothing is raised: a word that is misspelt here must not
    keep the rest of a declaration out of force.
    """
    try:
        told = DrillText.parse(text)
    except InvalidInput as error:
        return DrillOrder(text=text[:SHOWN], problem=str(error))
    requested_s = told.requested.timestamp()
    return DrillOrder(
        text=text,
        requested_s=requested_s,
        seconds=float(told.seconds),
        age_s=wall_s - requested_s,
        read_s=now,
    )


def known_of(thing: Object) -> Known:
    """What a NodeCapacity tells of its node."""
    capacity = NodeCapacity.parse(thing)
    settable = conditions.find(capacity.status.conditions, ConditionType.LIMITS_SETTABLE)
    enforcing = conditions.find(capacity.status.conditions, ConditionType.ENFORCING)
    seen = capacity.status.host_max_watts is not None  # else its agent hasn't looked yet
    peer, problem = _peer_or_why_not(capacity)
    return Known(
        peer=peer,
        problem=problem,
        host_max_watts=float(capacity.status.host_max_watts or 0),
        gpus=_ratings(capacity.status.gpus) if seen else None,
        settable=settable is None or not conditions.bars_limits(settable),
        armed_for=capacity.status.domain if enforcing is not None and enforcing.is_true else None,
    )


def terms_of(thing: Object) -> ServiceTerms:
    """What an InferenceService is due from its domain's coordinator."""
    spec = InferenceService.parse(thing).spec
    most = spec.power.max_watts if spec.power is not None else None
    return ServiceTerms(priority=spec.priority, max_watts=float(most) if most is not None else None)


def policy_of(thing: Object) -> Policy:
    """The power policy in a ConfigMap."""
    text = policy_text(thing)
    return Policy(text, parse_power(text))


def policy_text(thing: Object) -> str:
    """The text of the policy document in a ConfigMap; InvalidPolicy where there is none."""
    data = thing.get("data") or {}
    if POLICY_KEY not in data:
        raise InvalidPolicy("data", sorted(data), fix=f"put the document under the key `{POLICY_KEY}`")
    return str(data[POLICY_KEY])


def _peer_or_why_not(capacity: NodeCapacity) -> tuple[Peer | None, str | None]:
    node, spec = capacity.metadata.name, capacity.spec
    try:
        return Peer(node, spec.address, _certificate(spec.certificate, node)), None
    except InvalidInput as error:
        return None, str(error)


def home_of(labels: Mapping[str, str], domains: Iterable[Declared], *, armed_for: str | None = None) -> Home:
    """Where a node with these labels belongs: to the domain that selects it, the oldest of several.

    No other domain takes it out of the one that it is armed for, while that one selects it. Where none does
    its host draws as the one says that it is armed for.
    """
    known = tuple(domains)
    selecting = (one for one in known if one.selects(labels))
    mine = sorted(selecting, key=lambda one: (one.name != armed_for, one.created, one.name))
    if not mine:
        left = (_host_draw(labels, one.spec) for one in known if one.name == armed_for)
        host = next(left, HostDraw())
        return Home(host_idle_watts=host.idle_watts, host_max_watts=host.max_watts)
    host = _host_draw(labels, mine[0].spec)
    return Home(
        domain=mine[0].name,
        conflict=_conflict(mine),
        host_idle_watts=host.idle_watts,
        host_max_watts=host.max_watts,
        enforced=mine[0].spec.mode is Mode.ENFORCE,
    )


def _host_draw(labels: Mapping[str, str], spec: PowerDomainSpec) -> HostDraw:
    """By the node's own labels; while they can't be used, as the domain says of all."""
    try:
        return host_draw(labels, spec.host_watts)
    except InvalidInput:
        return declared_draw(spec.host_watts)


def host_problem(labels: Mapping[str, str]) -> str | None:
    """Why a node's own host watts can't be used; None where they can, or there are none."""
    try:
        host_draw(labels, None)
    except InvalidInput as error:
        return f"{error}; until then spec.hostWatts of its PowerDomain applies"
    return None


def _conflict(claims: Sequence[Declared]) -> str | None:
    if len(claims) < 2:
        return None
    names = ", ".join(sorted(claim.name for claim in claims))
    return (
        f"the PowerDomains {names} all select this node, and it stays in {claims[0].name}:"
        " change the nodeSelectors so that only one matches"
    )


def domain_of(
    declared: Declared,
    document: PowerDocument,
    *,
    capacities: Mapping[str, Known],
    services: Mapping[str, ServiceTerms],
    drill: DrillOrder | None = None,
) -> Domain:
    """All that a coordinator needs; InvalidDomain when the curve contradicts itself.

    Until a member is heard its host counts at the higher of what the domain says and what it has published.
    A GPU in use of which nobody knows whose it is counts at the highest priority that a service may have.
    """
    spec = declared.spec
    host_watts = declared_draw(spec.host_watts).max_watts
    armed = {node for node, known in capacities.items() if known.armed_for == declared.name}
    ratings = {
        node: NodeRating(
            node=node,
            host_max_watts=max(host_watts, known.host_max_watts),
            gpus=known.gpus,
            settable=known.settable,
        )
        for node in sorted((declared.members | armed) & capacities.keys())
        if (known := capacities[node]).gpus is not None
    }
    return Domain(
        name=declared.name,
        budget_watts=float(spec.budget_watts),
        members=declared.members,
        leaving=frozenset(armed - declared.members),
        document=document,
        enforce=spec.mode is Mode.ENFORCE,
        ceiling=spec.ceiling,
        curve=spec.breaker.to_curve(),
        timings=Timings(lease_s=float(spec.lease_seconds)),
        ratings=ratings,
        services={**services, UNKNOWN_OWNER: ServiceTerms(priority=MAX_PRIORITY)},
        drill=drill,
    )


def _ratings(gpus: Iterable[Gpu]) -> tuple[GpuRating, ...] | None:
    """None as soon as one range isn't told: half a node is no rating."""
    rows = []
    for gpu in gpus:
        if gpu.min_watts is None or gpu.max_watts is None:
            return None
        rows.append(GpuRating(gpu.uuid, float(gpu.min_watts), float(gpu.max_watts)))
    return tuple(rows)


@lru_cache(maxsize=4096)
def _certificate(pem: str, node: str) -> bytes:
    """Reading a certificate costs more than the rest of the object, and it hardly ever changes."""
    return own_certificate(pem, node=node)
