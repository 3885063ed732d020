"""
PowerDomain: a breaker, its budget, and the nodes that hang on it.

A domain says how many watts there are, how long its breaker bears more, which nodes
draw from it and which policy keeps them below. It is written by a person, and its
status by two programs: the operator says whether the domain can be kept (members,
candidates, safe limits, S1 and S2), the coordinator says how it stands (watts, level,
heat). Each has a field manager and fields of its own; the admission policy of the
chart holds the coordinator to its half, so the halves are two classes here.

Rules over one object are CEL. What needs other objects (cycles of parents, nodes
claimed twice, hosts' maximum against the budget) is checked by the operator.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from loadline_api.breakers import Breaker
from loadline_api.conditions import LISTED_BY_TYPE, Condition
from loadline_api.drills import DrillStatus
from loadline_api.names import DEFAULT_POWER_POLICY, HOST_MAX_WATTS_LABEL, MAX_CANDIDATES
from loadline_api.quantities import Count, HostWattage, Name, RefreshSeconds, ReportedWatts, Watts
from loadline_api.schemas import ApiObject, Spec, Status, rule, validations
from loadline_policies.power.protocol.bounds import LEASE_SECONDS, MEMBERS
from loadline_policies.power.protocol.domains import Ceiling


class Mode(StrEnum):
    """Whether a loop acts or only says what it would do."""

    OBSERVE = "Observe"
    ENFORCE = "Enforce"


class TelemetrySource(StrEnum):
    """Where a domain's watts come from."""

    NODE_SUM = "NodeSum"


class PolicyRef(Spec):
    """A policy ConfigMap of the system namespace, by name."""

    name: Name = Field(
        default=DEFAULT_POWER_POLICY,
        description="Name of a ConfigMap in Loadline's namespace, labelled loadline.dev/policy: power.",
    )


class NodeSelector(Spec):
    """Which nodes hang on the breaker."""

    match_labels: dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]] = Field(
        min_length=1,
        max_length=8,
        description="Labels that a node must have, all of them; choose labels below"
        " node-restriction.kubernetes.io/, which a kubelet can't change on its own node.",
    )


class HostWatts(Spec):
    """What one server of the domain draws without its GPUs."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "!has(self.idle) || self.idle <= self.max",
                says="'hostWatts.idle is %d, above hostWatts.max (%d): lower idle or raise max'"
                ".format([self.idle, self.max])",
            )
        )
    )

    max: HostWattage = Field(
        description="Most watts that one server draws without its GPUs, Grace CPUs included; Loadline"
        f" computes safe limits with it. The Node label {HOST_MAX_WATTS_LABEL} overrides it for one server."
    )
    idle: HostWattage | None = Field(
        default=None,
        description="Watts that one server draws without its GPUs while these are idle; without it, the"
        " server always counts at max.",
    )


class Telemetry(Spec):
    """Where the domain's watts come from."""

    source: TelemetrySource = Field(
        default=TelemetrySource.NODE_SUM,
        description="NodeSum: the members' GPU sensors plus hostWatts for each server.",
    )


class PowerDomainSpec(Spec):
    """A budget, the nodes that share it, and how it is kept."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "!has(self.hostWatts) || self.hostWatts.max < self.budgetWatts",
                says="'budgetWatts is %d, and one server without its GPUs already draws hostWatts.max (%d):"
                " raise budgetWatts, in watts'.format([self.budgetWatts, self.hostWatts.max])",
            ),
            rule(
                "!has(self.nodeSelector) || has(self.hostWatts)",
                message="nodeSelector needs hostWatts: set hostWatts.max to the most watts that one server"
                " draws without its GPUs",
            ),
        )
    )

    budget_watts: Watts = Field(
        description="Watts that the domain may draw: 100 percent of the breaker's curve."
    )
    parent: Name | None = Field(
        default=None,
        max_length=63,
        description="PowerDomain whose budget includes this one's; unset for the topmost.",
    )
    node_selector: NodeSelector | None = Field(
        default=None, description="Nodes behind this breaker; unset if only child domains are behind it."
    )
    policy_ref: PolicyRef = Field(
        default=PolicyRef(), description="Policy that decides which GPUs to cap, and when."
    )
    mode: Mode = Field(
        default=Mode.OBSERVE,
        description="Observe changes nothing and reports what Enforce would do; Enforce sets limits.",
    )
    ceiling: Ceiling = Field(
        default=Ceiling.FOUND,
        description="Highest limit that Loadline may set on a GPU: Found is the limit before Loadline's first"
        " write, Default the driver's default limit, Maximum the highest that the hardware accepts.",
    )
    breaker: Breaker = Field(default=Breaker(), description="Trip curve of the breaker.")
    host_watts: HostWatts | None = Field(default=None, description="What one server draws without its GPUs.")
    telemetry: Telemetry = Field(default=Telemetry(), description="Where the domain's watts come from.")
    lease_seconds: int = Field(
        default=4,
        strict=True,
        ge=LEASE_SECONDS[0],
        le=LEASE_SECONDS[1],
        description="How long a node keeps its limits after its coordinator's last lease, before it steps"
        " down to its safe limits by itself.",
        json_schema_extra={"format": "int32"},
    )


class MembershipStatus(Status):
    """The operator's half: who belongs to the domain, and whether its promises can be kept."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that the operator has checked."
    )
    members: tuple[Name, ...] = Field(
        default=(), max_length=MEMBERS, description="Nodes of the domain, sorted."
    )
    candidates: tuple[Name, ...] = Field(
        default=(), max_length=MAX_CANDIDATES, description="Members that may coordinate the domain."
    )
    lease_name: str | None = Field(
        default=None,
        max_length=253,
        description="Kubernetes Lease, in Loadline's namespace, by which the coordinator is elected.",
    )
    policy_hash: str | None = Field(
        default=None,
        max_length=64,
        description="Hash of the last good policy document that the operator has seen.",
    )
    safe_watts: ReportedWatts | None = Field(
        default=None,
        description="Sum of all safe limits, hosts at their maximum; at or below budgetWatts (S1).",
    )
    max_watts: ReportedWatts | None = Field(
        default=None, description="Sum of what all members could draw without limits; may exceed budgetWatts."
    )
    reaction_milliseconds: Count | None = Field(
        default=None,
        description="Longest time from a rise of the draw to limits in force; S2 asks for twice as much.",
    )
    trip_milliseconds: Count | None = Field(
        default=None,
        description="Time in which the warm breaker would trip at maxWatts; absent if it never would.",
    )
    tolerates_silent_nodes: Count | None = Field(
        default=None,
        description="Members that may be silent at full draw without a trip, while all others are at their"
        " safe limits.",
    )


class RowStatus(Status):
    """The coordinator's half: how the domain stands."""

    coordinator: str | None = Field(
        default=None, max_length=253, description="Node whose agent leads the domain."
    )
    level: str | None = Field(
        default=None, max_length=32, description="Level of the policy; Normal caps no GPU."
    )
    observed_watts: ReportedWatts | None = Field(
        default=None, description="Draw of the domain, silent nodes included."
    )
    observed_time: str | None = Field(
        default=None,
        description="When observedWatts was measured.",
        json_schema_extra={"format": "date-time"},
    )
    refresh_seconds: RefreshSeconds | None = Field(
        default=None,
        description="The coordinator refreshes this status within this many seconds; after three times as"
        " many without a refresh, the operator sets its conditions to Unknown.",
    )
    headroom_watts: ReportedWatts | None = Field(default=None, description="budgetWatts less observedWatts.")
    nodes_reporting: Count | None = Field(default=None, description="Members whose last report is recent.")
    silent_nodes: tuple[Name, ...] = Field(
        default=(), max_length=MEMBERS, description="Members that don't report, sorted."
    )
    brakes: Count | None = Field(
        default=None, description="Times that the draw rose above the budget under this coordinator."
    )
    heat_percent: Count | None = Field(
        default=None, description="Heat of the breaker in percent of the heat at which it trips."
    )
    applied_policy_hash: str | None = Field(
        default=None,
        max_length=64,
        description="Hash of the policy document that the coordinator uses.",
    )
    drill: DrillStatus | None = Field(
        default=None, description="The last order for a drill, and its result as read back."
    )


class PowerDomainStatus(MembershipStatus, RowStatus):
    """What the operator and the domain's coordinator know."""

    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Conditions of the domain; each type has one writer.",
        json_schema_extra=LISTED_BY_TYPE,
    )


class OperatorDomainStatus(MembershipStatus):
    """What the operator applies: its half and its conditions."""

    conditions: tuple[Condition, ...] = ()


class CoordinatorDomainStatus(RowStatus):
    """What the coordinator applies: its half and its conditions."""

    conditions: tuple[Condition, ...] = ()


class PowerDomain(ApiObject[PowerDomainSpec, PowerDomainStatus]):
    """A power domain as the API server hands it out."""

    @property
    def enforces(self) -> bool:
        """Whether the declaration asks for limits on the hardware."""
        return self.spec.mode is Mode.ENFORCE


ROOT_RULES: JsonDict = validations(
    rule(
        "size(self.metadata.name) <= 63",
        says="'metadata.name has %d characters: shorten it to 63, because it is used as the value of a label'"
        ".format([size(self.metadata.name)])",
    ),
    rule(
        "!has(self.spec) || !has(self.spec.parent) || self.spec.parent != self.metadata.name",
        says="'spec.parent is %s, the domain itself: name another domain or remove parent'"
        ".format([self.spec.parent])",
    ),
)
"""Rules that need the object's name, which only the schema's root can see."""
