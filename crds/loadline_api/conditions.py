"""
Every condition that Loadline reports, every reason, and how conditions are merged.

A condition is the one answer to «why?» that a person gets without reading a log, so
its words are kept in one table: a type says what is true or false, a reason is one
CamelCase word for why, and the sentence here is what the docs print about it. The
message of a live condition is written where the numbers are; whatever it quotes, `condition`
makes of it what can be stored and shown (`visible_texts`).

`merge` moves a transition time only when the status moves, so that an unchanged
object is not written again. The clock is the caller's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field
from pydantic.config import JsonDict

from loadline_api.quantities import Count
from loadline_api.schemas import Status, list_map
from loadline_api.visible_texts import told


class Explained(StrEnum):
    """A word of the API with the one sentence that explains it."""

    sentence: str

    def __new__(cls, word: str, sentence: str) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member


class ConditionType(Explained):
    """What a condition says is so (True), is not so (False) or can't be told (Unknown)."""

    READY = "Ready", "All that was asked for is there and answers."
    WORKLOADS_READY = "WorkloadsReady", "The engines of every pool are there and pass their probes."
    ROUTER_READY = "RouterReady", "The router answers, and so does whoever it sends requests to."
    ATTACHED = "Attached", "The workload that workloadRef names is there, and no other service claims it."
    PLUGIN_MISSING = "PluginMissing", "The engine runs without Loadline's plugin, so some loops can't act."
    SCALING_READY = "ScalingReady", "The replicas can be moved, by hand or by a loop."
    POLICY_VALID = "PolicyValid", "The policy document parses; if not, the last good one stays in force."
    POWER_CAPPED = "PowerCapped", "Limits or clocks below the maximum hold for power's sake."
    SLO_MET = "SLOMet", "The latencies are within the service's objectives."
    CAPACITY_LIMITED = "CapacityLimited", "More is asked for than nodes, GPUs or watts allow."
    ACCEPTED = "Accepted", "The declaration can be kept: members found, safe limits fit the budget (S1)."
    ENFORCEABLE = "Enforceable", "The loop reacts at least twice as fast as the breaker trips (S2)."
    SELECTOR_TRUSTED = "SelectorTrusted", "No kubelet can relabel its node out of the domain."
    ENFORCING = "Enforcing", "Leases set limits on the hardware; False means that nothing is touched."
    REPORTING = "Reporting", "Every member of the domain reports in time."
    HOLDABLE = "Holdable", "Lowest limits, read back from every member, keep the domain within its budget."
    WITHIN_BUDGET = "WithinBudget", "The domain's draw is at or below its budget."
    GPUS_READY = "GpusReady", "All GPUs of the node are seen and can be read."
    LIMITS_SETTABLE = "LimitsSettable", "The agent may set power limits and clocks on this node."
    CONFLICT = "Conflict", "Somebody else writes limits here, or two domains claim the node."
    OWNERS_KNOWN = "OwnersKnown", "Every GPU of the node that draws is had by a pod that is known."


class Reason(Explained):
    """Why a condition has its status."""

    AS_DECLARED = "AsDeclared", "Everything is as the spec says."
    OBSERVED = "Observed", "It was measured so."
    PROGRESSING = "Progressing", "The pods are on their way."
    UNAVAILABLE = "Unavailable", "Fewer pods are ready than were asked for."
    NO_WORKLOAD = "NoWorkload", "The workload is not there yet."
    NO_ROLE = "NoRole", "The workload has no role of the name that workloadRef gives."
    SCALED_TO_ZERO = "ScaledToZero", "No replica was asked for, so nothing answers."
    CRASH_LOOP = "CrashLoop", "A container of the pod ends again and again."
    OUT_OF_MEMORY = "OutOfMemory", "A container took more memory than its limit and was killed."
    IMAGE_UNAVAILABLE = "ImageUnavailable", "An image can't be pulled."
    UNSCHEDULABLE = "Unschedulable", "No node can take the pod."
    GPU_MISSING = "GpuMissing", "No node that fits the pod otherwise has the GPUs that it asks for."
    SCHEDULING_GATED = "SchedulingGated", "The pod waits until others open its scheduling gates."
    NOT_SCHEDULED = "NotScheduled", "The pod's scheduler has said nothing of it."
    PAUSED = "Paused", "The workload is paused, so its controller makes no pods."
    PROBE_FAILING = "ProbeFailing", "The container runs but doesn't pass its probe."
    MODEL_UNAVAILABLE = "ModelUnavailable", "The model's files can't be fetched or mounted."
    QUOTA_EXCEEDED = "QuotaExceeded", "The namespace may not have more pods."
    API_MISSING = "ApiMissing", "The API that the spec asks for isn't installed in the cluster."
    NAME_TAKEN = "NameTaken", "An object of that name belongs to somebody else."
    NOT_SCALABLE = "NotScalable", "The workload has no scale subresource."
    OTHER_SCALER = "OtherScaler", "Somebody else sets the replicas of an object that Loadline owns."
    OWNED_BY_CONTROLLER = "OwnedByController", "The workload's own controller sets its replicas."
    SCALER_FAILING = "ScalerFailing", "The autoscaler of the service says that it can't do its work."
    CLAIMED_TWICE = "ClaimedTwice", "Two services name the same workload; none of them acts on it."
    PODS_SHARED = (
        "PodsShared",
        "The pods' labels don't tell them apart from another workload's.",
    )
    OWN_WORKLOAD = "OwnWorkload", "The workload was made by Loadline for a service that has a model."
    READ_ONLY = "ReadOnly", "The spec gives no scaling, so the workload's replicas are read and not moved."
    NOT_ASKED = "NotAsked", "Nothing in the spec asks for it."
    PLUGIN_PRESENT = "PluginPresent", "The engine tells of Loadline's plugin."
    PLUGIN_ABSENT = "PluginAbsent", "The engine doesn't tell of Loadline's plugin."
    LIMITED = "Limited", "A GPU of the service is held below its maximum."
    UNLIMITED = "Unlimited", "No GPU of the service is held back."
    OBJECTIVE_MISSED = "ObjectiveMissed", "A latency at its percentile is above its objective."
    NOT_MEASURED = "NotMeasured", "Agents see the service's pods, but its latencies are not known."
    ENGINE_SILENT = "EngineSilent", "An engine gives no figures at the address where it was asked."
    OBJECTIVE_MET = "ObjectiveMet", "All latencies are within their objectives."
    SCALE_REFUSED = "ScaleRefused", "The API server refused to move the replicas."
    TEMPLATE_REFUSED = "TemplateRefused", "The API server refused the workload that the template makes."
    CONTRADICTION = "Contradiction", "Two parts of the spec can't both be, so nothing was made of them."
    PARSED = "Parsed", "The document was read and is in force."
    POLICY_INVALID = "PolicyInvalid", "The document can't be used; the last good one stays in force."
    POLICY_MISSING = "PolicyMissing", "No ConfigMap of that name and loop is where policies are looked for."
    BUILT_IN = "BuiltIn", "No document says otherwise, so the policy that is built in is in force."
    MODE_OBSERVE = "ModeObserve", "The domain's mode is Observe, which changes nothing."
    MODE_ENFORCE = "ModeEnforce", "The domain's mode is Enforce and leases are obeyed."
    RELEASING = "Releasing", "Limits go back, step by step, to what was found before the first write."
    RELEASE_WAITS = "ReleaseWaits", "For ten minutes the budget has had no room to release any of its nodes."
    LEFT_BEHIND = "LeftBehind", "Released, but a GPU didn't take back what was found on it in three tries."
    FOUND_BELOW_DEFAULT = (
        "FoundBelowDefault",
        "A limit was found below the driver's default; orders go no higher, unless spec.ceiling says so.",
    )
    ORPHANED = "Orphaned", "The domain that armed the node is gone; it stays at its safe limits."
    NO_MEMBERS = "NoMembers", "The node selector matches no node."
    SELECTOR_INVALID = "SelectorInvalid", "The node selector asks for what no label can be by its form."
    NODE_CLAIMED_TWICE = (
        "NodeClaimedTwice",
        "Two domains select the same node; it stays where it is armed, else the older has it.",
    )
    PARENT_MISSING = "ParentMissing", "The parent that the spec names doesn't exist."
    OWN_ANCESTOR = "OwnAncestor", "Following parents leads back to the domain itself."
    BUDGET_TOO_SMALL = "BudgetTooSmall", "Hosts at their maximum and GPUs at their lowest limits exceed it."
    HOST_WATTS_INVALID = "HostWattsInvalid", "A node's own host watts can't be read from its labels."
    SAFE_FITS = "SafeFits", "All safe limits together, hosts at their maximum, are within the budget."
    CAPACITY_UNKNOWN = "CapacityUnknown", "No NodeCapacity tells yet what the members can draw."
    REACTION_TOO_SLOW = "ReactionTooSlow", "The breaker could trip before twice the reaction time is over."
    REACTION_IN_TIME = "ReactionInTime", "Twice the reaction time is over before the breaker could trip."
    LABEL_RESTRICTED = "LabelRestricted", "The selector uses labels that kubelets can't change."
    LABEL_UNRESTRICTED = "LabelUnrestricted", "The selector uses a label that a kubelet may change."
    ALL_REPORTING = "AllReporting", "Every member's report is fresh."
    NODES_SILENT = "NodesSilent", "Some members don't report; they count at their last enforced limits."
    LEVEL_RAISED = "LevelRaised", "The policy holds a level above normal."
    LEVEL_NORMAL = "LevelNormal", "The policy holds nobody back."
    GPUS_UNABLE = "GpusUnable", "GPUs that don't obey reliably are held at their safe limits."
    ABOVE_BUDGET = "AboveBudget", "The draw is above the budget; the brake is on."
    BELOW_BUDGET = "BelowBudget", "The draw is at or below the budget."
    LOWEST_LIMITS_FIT = "LowestLimitsFit", "Lowest limits together, hosts at their maximum, are within it."
    CANNOT_BE_HELD = "CannotBeHeld", "Not even the lowest limits fit; all that obey are at theirs."
    NOBODY_LEADS = "NobodyLeads", "No coordinator has told of the domain yet."
    NOT_REFRESHED = "NotRefreshed", "Whoever told of it has fallen silent; what it said is too old."
    ALL_SEEN = "AllSeen", "All GPUs answer."
    NO_GPUS = "NoGpus", "The node has no GPU that the driver knows."
    GPU_LOST = "GpuLost", "A GPU has fallen off the bus; it counts at its maximum."
    GPU_UNREADABLE = "GpuUnreadable", "A GPU doesn't answer the driver; it counts at the worst that is known."
    SENSOR_STUCK = "SensorStuck", "A GPU's sensor repeats one value that its energy counter doesn't bear out."
    SENSOR_IMPLAUSIBLE = (
        "SensorImplausible",
        "The driver tells a draw of a GPU that can't be; the GPU counts at its limit.",
    )
    SENSOR_MISSING = "SensorMissing", "The driver tells no power of a GPU; it counts at its limit."
    DRIVER_MISSING = "DriverMissing", "The driver's library can't be loaded."
    DRIVER_MISMATCH = (
        "DriverMismatch",
        "The driver is there, of another version than the library that the agent's container has.",
    )
    PERSISTENCE_OFF = (
        "PersistenceOff",
        "A limit was set and read back; the driver forgets it when its last client closes.",
    )
    CLOCKS_UNLISTED = (
        "ClocksUnlisted",
        "A limit was set and read back; no clock can be locked, so levels that only lock clocks do nothing.",
    )
    WRITABLE = "Writable", "A limit was set and read back."
    NOT_WRITTEN = "NotWritten", "No limit has been written here yet, so nothing was read back."
    WRITES_FAIL = (
        "WritesFail",
        "A limit couldn't be written, or not be read back; the GPU counts at what it holds, or may hold.",
    )
    MISSING_PRIVILEGE = "MissingPrivilege", "The agent lacks CAP_SYS_ADMIN, so the node only observes."
    RANGE_UNKNOWN = "RangeUnknown", "The driver doesn't tell which limits can be set."
    OTHER_WRITER = "OtherWriter", "A limit read back is not the one written."
    SOLE_WRITER = "SoleWriter", "Every limit read back is the one written."
    ALL_OWNED = "AllOwned", "Every GPU that draws is had by a pod that is known."
    OWNER_UNKNOWN = (
        "OwnerUnknown",
        "A GPU is in use by no pod that is known; it counts at the highest priority.",
    )
    STATE_LOST = "StateLost", "Neither the state directory nor the API is there; the node only observes."
    NOT_TOLD = "NotTold", "Nobody who would know has reported yet."


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

MAX_CONDITIONS = 16
MOST_MESSAGE_BYTES = 1000
"""Of a message that is written, in UTF-8. Chosen: with some words around it, it fits an Event (1,024)."""

MOST_MESSAGE = 4096
"""Characters of a message that is read: older versions wrote so many."""

LISTED_BY_TYPE: JsonDict = {**list_map("type"), "maxItems": MAX_CONDITIONS}
"""Schema of a list of conditions: told apart by type, so that two writers can share it."""


class Condition(Status):
    """One fact about an object, why it is so, and since when."""

    type: str = Field(max_length=64, description="What the condition says, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: str = Field(min_length=1, max_length=64, description="Why, in one CamelCase word.")
    message: str = Field(
        default="", max_length=MOST_MESSAGE, description="Why, in a sentence with the values."
    )
    observed_generation: Count | None = Field(
        default=None, description="The generation of the spec that was looked at."
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
