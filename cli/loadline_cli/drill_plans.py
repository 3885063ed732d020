"""
Whether a domain can be drilled now, and what that will do: from its status, before anything is ordered.

The coordinator judges again when it reads the order, and knows more; what is refused here is
refused with the field that says so, its value, and what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from loadline_api.conditions import Condition, ConditionType, find
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import Mode, PowerDomain
from loadline_api.sentences import some_of
from loadline_cli.exits import CommandError
from loadline_policies.power.protocol.drill_states import DrillOutcome
from loadline_policies.power.protocol.gpu_limits import HoldReason

HELD = frozenset(HoldReason) - {HoldReason.NOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a drill will do, and to whom. Watts and times as the status has them, None where it hasn't."""

    domain: str
    coordinator: str
    seconds: int
    nodes: int
    gpus: int
    pods: int
    services: tuple[str, ...]
    observed_watts: int | None
    observed_time: str | None
    safe_watts: int
    budget_watts: int
    reaction_milliseconds: int | None


def plan(domain: PowerDomain, capacities: Mapping[str, NodeCapacity], *, seconds: int, now: datetime) -> Plan:
    """What a drill of this domain will do; CommandError where it can't be drilled now."""
    _check_declaration(domain)
    _check_status(domain)
    _check_nodes(domain, capacities)
    _check_drill(domain, now)
    status = domain.status
    here = [capacities[node] for node in status.members]
    services = [service for one in here for service in one.status.services]
    assert status.safe_watts is not None
    return Plan(
        domain=domain.metadata.name,
        coordinator=status.coordinator or "",
        seconds=seconds,
        nodes=len(here),
        gpus=sum(len(one.status.gpus) for one in here),
        pods=sum(service.pods for service in services),
        services=tuple(sorted({service.service for service in services})),
        observed_watts=status.observed_watts,
        observed_time=status.observed_time,
        safe_watts=status.safe_watts,
        budget_watts=domain.spec.budget_watts,
        reaction_milliseconds=status.reaction_milliseconds,
    )


def _check_declaration(domain: PowerDomain) -> None:
    name = domain.metadata.name
    if domain.spec.mode is not Mode.ENFORCE:
        raise CommandError(
            f"`spec.mode` is {domain.spec.mode}: nothing is enforced, so there is nothing to prove",
            hint=f"set it to Enforce and wait for `kubectl wait --for=condition=Enforcing pdom/{name}`",
        )
    if not domain.status.members:
        raise CommandError(
            "`status.members` is empty: no node hangs on this domain",
            hint="let `spec.nodeSelector` match nodes; a domain of domains is drilled one by one",
        )


def _check_status(domain: PowerDomain) -> None:
    status, name = domain.status, domain.metadata.name
    enforcing = find(status.conditions, ConditionType.ENFORCING)
    if enforcing is None or not enforcing.is_true:
        raise CommandError(
            f"condition `Enforcing` is {_shown(enforcing)}",
            hint=f"`kubectl describe pdom {name}` tells why; a drill needs it True",
        )
    if not status.coordinator:
        raise CommandError(
            "`status.coordinator` is empty: nobody leads the domain",
            hint="see that agents run on the nodes in `status.candidates`",
        )
    if status.safe_watts is None:
        raise CommandError(
            "`status.safeWatts` is empty: nothing is promised yet",
            hint=f"wait until condition `Accepted` is True (`kubectl describe pdom {name}`)",
        )
    if status.silent_nodes:
        raise CommandError(
            f"`status.silentNodes` is {some_of(status.silent_nodes)}: nothing could be read back of them",
            hint="restart their agents, or take the nodes out of the domain",
        )
    if status.level in HELD and status.level != HoldReason.DRILL:
        raise CommandError(
            f"`status.level` is {status.level}: the row is held at its safe limits already",
            hint="wait until it isn't; docs/reliability.md says what the level means",
        )


def _check_nodes(domain: PowerDomain, capacities: Mapping[str, NodeCapacity]) -> None:
    unknown = [node for node in domain.status.members if node not in capacities]
    if unknown:
        raise CommandError(
            f"NodeCapacity of {some_of(unknown)} is missing: no agent reports from there",
            hint="start the agents, or take the nodes out of the domain",
        )
    for node in domain.status.members:
        status = capacities[node].status
        enforcing = find(status.conditions, ConditionType.ENFORCING)
        if status.domain != domain.metadata.name or enforcing is None or not enforcing.is_true:
            whose = status.domain or "no domain"
            raise CommandError(
                f"NodeCapacity {node}: condition `Enforcing` is {_shown(enforcing)}, for {whose}",
                hint=f"a drill needs every node armed; `kubectl describe ncap {node}` tells why it isn't",
            )


def _check_drill(domain: PowerDomain, now: datetime) -> None:
    drill = domain.status.drill
    if drill is not None and drill.outcome == DrillOutcome.HOLDING:
        raise CommandError(
            f"`status.drill.outcome` is Holding: another drill runs ({drill.order}; now {now:%H:%M:%S}Z)",
            hint="wait for its end",
        )


def _shown(one: Condition | None) -> str:
    if one is None:
        return "missing"
    return f"{one.status} ({one.reason}{': ' if one.message else ''}{one.message})"
