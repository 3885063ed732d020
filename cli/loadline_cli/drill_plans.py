"""
Whether a domain can be drilled now, and what a drill would do: read from its status, before ordering one.

Each refusal names the field, its value and what to do. The coordinator checks again when it reads
the order, since it knows more than the status shows.
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
    """What a drill will do, and to which nodes and pods. Fields are None where the status has no value."""

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
            f"`spec.mode` is {domain.spec.mode}: Loadline sets no limits in it, so there is nothing to drill",
            hint=f"set it to Enforce and run `kubectl wait --for=condition=Enforcing pdom/{name}`",
        )
    if not domain.status.members:
        raise CommandError(
            "`status.members` is empty: no node belongs to this domain",
            hint="set `spec.nodeSelector` so that it matches nodes; if this domain contains other domains,"
            " drill each of those",
        )


def _check_status(domain: PowerDomain) -> None:
    status, name = domain.status, domain.metadata.name
    enforcing = find(status.conditions, ConditionType.ENFORCING)
    if enforcing is None or not enforcing.is_true:
        raise CommandError(
            f"condition `Enforcing` is {_shown(enforcing)}",
            hint=f"a drill needs it to be True; `kubectl describe pdom {name}` shows why it isn't",
        )
    if not status.coordinator:
        raise CommandError(
            "`status.coordinator` is empty: no agent coordinates the domain",
            hint="check that agents run on the nodes in `status.candidates`",
        )
    if status.safe_watts is None:
        raise CommandError(
            "`status.safeWatts` is empty: the draw to which the domain steps down isn't known yet",
            hint=f"wait until condition `Accepted` is True (`kubectl describe pdom {name}`)",
        )
    if status.silent_nodes:
        raise CommandError(
            f"`status.silentNodes` is {some_of(status.silent_nodes)}: without reports from their agents,"
            " their limits can't be read back",
            hint="restart the agents on these nodes, or remove the nodes from the domain",
        )
    if status.level in HELD and status.level != HoldReason.DRILL:
        raise CommandError(
            f"`status.level` is {status.level}: the domain is already held at its safe limits",
            hint="wait until the level changes; docs/reliability.md explains each level",
        )


def _check_nodes(domain: PowerDomain, capacities: Mapping[str, NodeCapacity]) -> None:
    unknown = [node for node in domain.status.members if node not in capacities]
    if unknown:
        raise CommandError(
            f"NodeCapacity of {some_of(unknown)} is missing: no agent has reported from there",
            hint="start the agents on these nodes, or remove the nodes from the domain",
        )
    for node in domain.status.members:
        status = capacities[node].status
        enforcing = find(status.conditions, ConditionType.ENFORCING)
        if status.domain != domain.metadata.name or enforcing is None or not enforcing.is_true:
            raise CommandError(
                f"NodeCapacity {node}: condition `Enforcing` is {_shown(enforcing)} and `status.domain` is"
                f" {status.domain or 'empty'}",
                hint="a drill needs every node to enforce limits for this domain;"
                f" `kubectl describe ncap {node}` shows why this one doesn't",
            )


def _check_drill(domain: PowerDomain, now: datetime) -> None:
    drill = domain.status.drill
    if drill is not None and drill.outcome == DrillOutcome.HOLDING:
        raise CommandError(
            f"`status.drill.outcome` is Holding: another drill is running (ordered {drill.order}; now"
            f" {now:%H:%M:%S}Z)",
            hint="wait until it ends",
        )


def _shown(condition: Condition | None) -> str:
    if condition is None:
        return "missing"
    detail = f": {condition.message}" if condition.message else ""
    return f"{condition.status} ({condition.reason}{detail})"
