"""
Every condition that Loadline reports, who writes it, and how conditions are merged.

A type says what is true or false, and the sentence here is what the docs print about it; why
it is so, a word of `reasons` says. The message of a live condition is written where the
numbers are; whatever it quotes, `condition` makes of it what can be stored and shown
(`visible_texts`).

`merge` moves a transition time only when the status moves, so that an unchanged
object is not written again. The clock is the caller's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from loadline_api.quantities import Count
from loadline_api.reasons import Explained, Reason
from loadline_api.schemas import Status, list_map
from loadline_api.visible_texts import told


class ConditionType(Explained):
    """What a condition says is so (True), is not so (False) or can't be told (Unknown)."""

    READY = "Ready", "Everything that the spec asks for is running and answers requests."
    WORKLOADS_READY = (
        "WorkloadsReady",
        "Every pool has as many engine pods that run and pass their probes as the spec asks for.",
    )
    ROUTER_READY = (
        "RouterReady",
        "The router's pods are ready, and every pool has a ready pod to which they can send requests.",
    )
    ATTACHED = (
        "Attached",
        "The workload that workloadRef names exists, and no other InferenceService names it.",
    )
    PLUGIN_MISSING = (
        "PluginMissing",
        "The engine runs without Loadline's plugin, so the experts and kv loops can't act.",
    )
    SCALING_READY = (
        "ScalingReady",
        "A user or an autoscaler can change the replica count.",
    )
    POLICY_VALID = (
        "PolicyValid",
        "The policy document can be parsed; where it can't, the last good version stays in force.",
    )
    POWER_CAPPED = "PowerCapped", "A power limit or a clock lock holds GPUs below their maximum."
    SLO_MET = "SLOMet", "The measured latencies are within the service's objectives."
    EXPERTS_OBSERVED = "ExpertsObserved", "Engines report how their layers of experts are loaded."
    EXPERTS_BOUNDED = (
        "ExpertsBounded",
        "A capacity bounds the experts of at least one engine, so its answers may differ from the model's "
        "own.",
    )
    ADMISSION_PREDICTED = (
        "AdmissionPredicted",
        "In every engine that reports, the policy decides which requests start, and knows enough lengths of "
        "answers to predict by.",
    )
    RETENTION_ACTIVE = (
        "RetentionActive",
        "In every engine that reports, requests may be bounded, so that they drop tokens, and answers may "
        "differ from the model's own.",
    )
    CAPACITY_LIMITED = "CapacityLimited", "The service asks for more than nodes, GPUs, quotas or watts allow."
    ACCEPTED = "Accepted", "The domain has members, and their safe limits together fit its budget (S1)."
    ENFORCEABLE = "Enforceable", "The coordinator reacts at least twice as fast as the breaker can trip (S2)."
    SELECTOR_TRUSTED = (
        "SelectorTrusted",
        "The nodeSelector uses only labels that a kubelet can't change on its own node.",
    )
    ENFORCING = "Enforcing", "Agents set power limits as leases order; False means that they set none."
    REPORTING = "Reporting", "The agents of all members report to the coordinator in time."
    HOLDABLE = (
        "Holdable",
        "The lowest limits that members can set, as read back, keep the domain within its budget.",
    )
    WITHIN_BUDGET = "WithinBudget", "The domain draws no more than its budget."
    GPUS_READY = "GpusReady", "The agent finds all GPUs of the node and can read them."
    LIMITS_SETTABLE = "LimitsSettable", "The agent can set power limits and lock clocks on this node."
    CONFLICT = "Conflict", "Another program sets limits on this node, or two PowerDomains select it."
    OWNERS_KNOWN = "OwnersKnown", "The agent knows the pod behind every GPU of the node that draws power."


OPERATOR_DOMAIN_CONDITIONS = frozenset(
    {
        ConditionType.ACCEPTED,
        ConditionType.ENFORCEABLE,
        ConditionType.POLICY_VALID,
        ConditionType.SELECTOR_TRUSTED,
    }
)
"""A PowerDomain's conditions that only the operator writes."""

SERVICE_CONDITIONS = (
    ConditionType.READY,
    ConditionType.WORKLOADS_READY,
    ConditionType.ROUTER_READY,
    ConditionType.ATTACHED,
    ConditionType.CAPACITY_LIMITED,
    ConditionType.SCALING_READY,
    ConditionType.POWER_CAPPED,
    ConditionType.SLO_MET,
    ConditionType.PLUGIN_MISSING,
    ConditionType.EXPERTS_OBSERVED,
    ConditionType.EXPERTS_BOUNDED,
    ConditionType.ADMISSION_PREDICTED,
    ConditionType.RETENTION_ACTIVE,
    ConditionType.POLICY_VALID,
)
"""An InferenceService's conditions, which the operator writes and counts, in the order in which people read
them."""

COORDINATOR_DOMAIN_CONDITIONS = frozenset(
    {
        ConditionType.ENFORCING,
        ConditionType.HOLDABLE,
        ConditionType.POWER_CAPPED,
        ConditionType.REPORTING,
        ConditionType.WITHIN_BUDGET,
    }
)
"""A PowerDomain's conditions that its coordinator writes; the admission policy lets it write no others."""

NODE_CONDITIONS = (
    ConditionType.GPUS_READY,
    ConditionType.LIMITS_SETTABLE,
    ConditionType.CONFLICT,
    ConditionType.ENFORCING,
    ConditionType.OWNERS_KNOWN,
)
"""A NodeCapacity's conditions, which the node's agent writes, in the order in which it writes them."""

MAX_CONDITIONS = 16
MOST_MESSAGE_BYTES = 1000
"""Of a message that is written, in UTF-8. Chosen: with some words around it, it fits an Event (1,024)."""

MOST_MESSAGE = 4096
"""Characters of a message that is read: older versions wrote so many."""

LISTED_BY_TYPE: JsonDict = {**list_map("type"), "maxItems": MAX_CONDITIONS}
"""Schema of a list of conditions: told apart by type, so that two writers can share it."""


class Condition(Status):
    """One fact about an object, why it is so, and since when."""

    type: str = Field(max_length=64, description="Type of the condition, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition is met.")
    reason: str = Field(
        min_length=1, max_length=64, description="Why it has this status, in one CamelCase word."
    )
    message: str = Field(
        default="", max_length=MOST_MESSAGE, description="Why it has this status, in a sentence with values."
    )
    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that the condition describes."
    )
    last_transition_time: str = Field(
        default="", description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )

    @property
    def is_true(self) -> bool:
        """Whether the condition is known to hold."""
        return self.status == "True"


def condition(
    type: ConditionType, *, so: bool | None, reason: Reason, message: str = "", generation: int | None = None
) -> Condition:
    """A condition without its time, which `merge` gives; `so` is None when it can't be told."""
    status: Literal["True", "False", "Unknown"] = "Unknown" if so is None else "True" if so else "False"
    return Condition(
        type=type.value,
        status=status,
        reason=reason.value,
        message=told(message or reason.sentence, most_bytes=MOST_MESSAGE_BYTES),
        observed_generation=generation,
    )


def merge(
    existing: Iterable[Condition], wanted: Iterable[Condition], *, now: datetime
) -> tuple[Condition, ...]:
    """`wanted`, sorted by type, each with the time at which its status last changed.

    Only the wanted types are returned: a writer applies the conditions that it owns and
    no others. `now` must be aware of its time zone.
    """
    before = {known.type: known for known in existing}
    return tuple(
        _timed(one, before.get(one.type), now=now) for one in sorted(wanted, key=lambda one: one.type)
    )


def find(conditions: Iterable[Condition], type: ConditionType) -> Condition | None:
    """The condition of that type, if somebody reported it."""
    return next((one for one in conditions if one.type == type.value), None)


def bars_limits(settable: Condition) -> bool:
    """Whether a node's LimitsSettable says that none of its limits can be set.

    One GPU without a range bars no other: it is listed with the one limit at which it counts.
    """
    return settable.status == "False" and settable.reason != Reason.RANGE_UNKNOWN


def timestamp(now: datetime) -> str:
    """`now` as the API writes times: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _timed(wanted: Condition, before: Condition | None, *, now: datetime) -> Condition:
    stays = before is not None and before.status == wanted.status and before.last_transition_time
    time = before.last_transition_time if stays and before is not None else timestamp(now)
    return wanted.model_copy(update={"last_transition_time": time})
