"""
Every reason that a condition may have, and the sentence that explains it.

A condition is the one answer to «why?» that a person gets without reading a log, so its words are kept in one
table: a reason is one CamelCase word for why, and the sentence here is what the docs print about it. What is
true or false is in `conditions`, with the same kind of words.
"""

from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """A word of the API with the one sentence that explains it."""

    sentence: str

    def __new__(cls, word: str, sentence: str) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member


class Reason(Explained):
    """Why a condition has its status."""

    AS_DECLARED = "AsDeclared", "Everything is as the spec declares it."
    OBSERVED = "Observed", "The workload's own controller reports it."
    PROGRESSING = "Progressing", "Pods are being created or are starting."
    UNAVAILABLE = "Unavailable", "Fewer pods are ready than the spec asks for."
    NO_WORKLOAD = "NoWorkload", "The workload that workloadRef names does not exist or is being deleted."
    NO_ROLE = "NoRole", "The workload has no role with the name in workloadRef.role."
    SCALED_TO_ZERO = "ScaledToZero", "The spec asks for no replicas, so the service answers no requests."
    CRASH_LOOP = "CrashLoop", "A container of the pod keeps exiting, and the kubelet restarts it each time."
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "A container used more memory than its limit allows, and the kernel killed it.",
    )
    IMAGE_UNAVAILABLE = "ImageUnavailable", "The kubelet can't pull a container image of the pod."
    UNSCHEDULABLE = "Unschedulable", "The scheduler finds no node for the pod."
    GPU_MISSING = (
        "GpuMissing",
        "The nodes that would otherwise fit the pod don't have the GPUs that it requests.",
    )
    SCHEDULING_GATED = (
        "SchedulingGated",
        "The pod has scheduling gates that another controller must remove first.",
    )
    NOT_SCHEDULED = "NotScheduled", "The scheduler that the pod names has reported nothing about the pod."
    PAUSED = "Paused", "The workload is paused, so its controller creates no pods."
    PROBE_FAILING = "ProbeFailing", "The container runs but fails its probe."
    MODEL_UNAVAILABLE = "ModelUnavailable", "The model's files can't be fetched or mounted."
    QUOTA_EXCEEDED = "QuotaExceeded", "A ResourceQuota of the namespace allows no more pods."
    API_MISSING = "ApiMissing", "The API that the spec needs is not installed in the cluster."
    NAME_TAKEN = "NameTaken", "An object of this name exists already, and Loadline did not create it."
    NOT_SCALABLE = "NotScalable", "The workload has no scale subresource."
    OTHER_SCALER = "OtherScaler", "Another program changes the replicas of an object that Loadline owns."
    OWNED_BY_CONTROLLER = (
        "OwnedByController",
        "The workload's own controller sets its replicas, so Loadline does not.",
    )
    SCALER_FAILING = "ScalerFailing", "The service's autoscaler reports that it can't work."
    CLAIMED_TWICE = "ClaimedTwice", "Two InferenceServices name the same workload, so neither acts on it."
    PODS_SHARED = (
        "PodsShared",
        "The workload's label selector also matches pods of another workload, so Loadline acts on none of "
        "them.",
    )
    OWN_WORKLOAD = (
        "OwnWorkload",
        "Loadline itself created the workload, for an InferenceService that has a model.",
    )
    READ_ONLY = (
        "ReadOnly",
        "The spec has no scaling section, so Loadline reads the workload's replicas and never sets them.",
    )
    NOT_ASKED = "NotAsked", "The spec does not ask for what the condition is about."
    PLUGIN_PRESENT = "PluginPresent", "The engines report Loadline's plugin."
    PLUGIN_ABSENT = "PluginAbsent", "An engine does not report Loadline's plugin."
    LIMITED = "Limited", "A GPU of the service is limited below its maximum."
    UNLIMITED = "Unlimited", "No GPU of the service is limited below its maximum."
    OBJECTIVE_MISSED = (
        "ObjectiveMissed",
        "At least one latency, at the percentile of its objective, is above the objective.",
    )
    NOT_MEASURED = "NotMeasured", "Agents see the service's pods, but have no latencies of its engines."
    ENGINE_SILENT = (
        "EngineSilent",
        "An engine serves no metrics at the address where the agent asked for them.",
    )
    OBJECTIVE_MET = "ObjectiveMet", "All latencies, at the percentile of their objective, are within it."
    COUNTED = "Counted", "Engines count the load of at least one layer of experts."
    NO_EXPERTS = "NoExperts", "The engines report that they have no layer of experts: the model is dense."
    LAYERS_LEFT_ALONE = (
        "LayersLeftAlone",
        "All layers of experts stay as vLLM built them; the engine's metric loadline:experts_bypassed has "
        "the reason.",
    )
    NOT_ALLOWED = "NotAllowed", "The loop's mode in the spec isn't Enforce, so the loop changes nothing."
    CANNOT_BOUND = (
        "CannotBound",
        "No layer of the engines can be bounded by the spec's strategy; their metric "
        "loadline:experts_unbounded has the reason.",
    )
    COOLING_DOWN = "CoolingDown", "The policy waits for a while after its last change of the capacity."
    PLACEMENT_FIRST = (
        "PlacementFirst",
        "The engine's EPLB has not placed the experts for the present load, or has not reported it.",
    )
    NO_SUITABLE_GAMMA = (
        "NoSuitableGamma",
        "No capacity within the bounds saves enough time without dropping more than the guard allows.",
    )
    GUARD_BREACHED = "GuardBreached", "A reading exceeded a limit of the guard, which ended the capacity."
    READINGS_UNKNOWN = "ReadingsUnknown", "The agent lacks a reading that the policy or the guard needs."
    POLICY_OBSERVES = "PolicyObserves", "The policy in force only observes."
    PREDICTING = (
        "Predicting",
        "A request starts once the batch with it is predicted to fit into the KV memory until it ends.",
    )
    FEW_LENGTHS = (
        "FewLengths",
        "The policy decides which requests start, but an engine knows too few lengths of answers yet: it "
        "assumes initialTokens for each missing one, so more requests wait than later.",
    )
    OBSERVING = (
        "Observing",
        "Spec and policy allow it, but an engine only observes: it has no settings of its agent yet, or the "
        "loop's variable in its container, LOADLINE_ADMISSION or LOADLINE_RETENTION, is observe.",
    )
    ADMISSION_OFF = (
        "AdmissionOff",
        "An engine admits requests as vLLM does: it runs another scheduler than Loadline's, its memory is of "
        "a kind that isn't predicted, or Loadline's part could not start; its metric loadline:admission_off "
        "has the reason.",
    )
    PLUGIN_FAILED = (
        "PluginFailed",
        "Loadline's scheduler failed in an engine, which schedules new requests as vLLM does until it "
        "restarts; the engine's log has the fault.",
    )
    BOUNDED = "Bounded", "Each new request gets a budget of tokens that it keeps."
    NO_PRESSURE = "NoPressure", "KV memory suffices, so the policy sets no smaller budget."
    MEMORY_SHORT = "MemoryShort", "KV memory is short, so the policy bounds new requests."
    SETTLING = "Settling", "KV memory is short, and the last change has not had its time to show."
    LAST_RUNG = "LastRung", "KV memory is short, and the policy has no smaller budget."
    QUALITY_CLASS = (
        "QualityClass",
        "KV memory is short, and the service's qualityClass allows no smaller budget.",
    )
    NO_BUDGET = (
        "NoBudget",
        "Engines could bound requests, but neither spec nor policy sets a budget, so requests keep all of "
        "their tokens.",
    )
    PREFIX_HITS = (
        "PrefixHits",
        "So many prompts share prefixes that the policy sets no budget: bounded requests share none.",
    )
    PREFIX_HITS_UNKNOWN = (
        "PrefixHitsUnknown",
        "It isn't known how many prompts share prefixes, so the policy sets no budget.",
    )
    BASELINE_UNKNOWN = (
        "BaselineUnknown",
        "The agent has no readings of unbounded answers to compare with, so the policy sets no budget.",
    )
    RECALL_LOST = (
        "RecallLost",
        "Bounded requests no longer find what their prompts say, so the policy has ended its budget.",
    )
    DRIFTED = (
        "Drifted",
        "The log-probability of the test prompts fell too far, so the policy has ended its budget.",
    )
    ENGINE_UNABLE = (
        "EngineUnable",
        "An engine can't bound requests, which keep all of their tokens: its model, its kernels or its "
        "options exclude it; its log has the reason.",
    )
    SCALE_REFUSED = "ScaleRefused", "The API server refused to change the replicas."
    TEMPLATE_REFUSED = (
        "TemplateRefused",
        "The API server refused the workload that the operator made from the spec's template.",
    )
    CONTRADICTION = (
        "Contradiction",
        "Two parts of the spec contradict each other, so the operator applied neither.",
    )
    PARSED = "Parsed", "The policy document was parsed and is in force."
    POLICY_INVALID = (
        "PolicyInvalid",
        "The policy document can't be used; the last good version stays in force.",
    )
    POLICY_MISSING = (
        "PolicyMissing",
        "No ConfigMap of this name and loop exists in the namespaces where policies are looked up.",
    )
    BUILT_IN = "BuiltIn", "No policy document applies, so the loop's built-in policy is in force."
    MODE_OBSERVE = "ModeObserve", "spec.mode is Observe, so no limit is set."
    MODE_ENFORCE = "ModeEnforce", "spec.mode is Enforce, and agents set limits as leases order."
    RELEASING = (
        "Releasing",
        "Agents are restoring, node by node, the limits found before Loadline's first write.",
    )
    RELEASE_WAITS = (
        "ReleaseWaits",
        "For ten minutes the coordinator could release no node, because the budget lacks headroom for it.",
    )
    LEFT_BEHIND = (
        "LeftBehind",
        "The node was released, but a GPU did not take back its original limit in three tries.",
    )
    FOUND_BELOW_DEFAULT = (
        "FoundBelowDefault",
        "The original limit of a GPU is below the driver's default; Loadline sets none above it unless "
        "spec.ceiling allows it.",
    )
    ORPHANED = (
        "Orphaned",
        "The PowerDomain that armed the node was deleted; the node stays at its safe limits.",
    )
    NO_MEMBERS = "NoMembers", "The nodeSelector matches no node."
    SELECTOR_INVALID = "SelectorInvalid", "The nodeSelector has a key or value that no label can have."
    NODE_CLAIMED_TWICE = (
        "NodeClaimedTwice",
        "Two PowerDomains select the same node; it stays with the one that armed it, else with the older "
        "one.",
    )
    PARENT_MISSING = "ParentMissing", "The PowerDomain that spec.parent names does not exist."
    OWN_ANCESTOR = "OwnAncestor", "Following spec.parent from domain to domain leads back to this domain."
    BUDGET_TOO_SMALL = (
        "BudgetTooSmall",
        "Hosts at their maximum and GPUs at their lowest limits draw more than the budget.",
    )
    HOST_WATTS_INVALID = "HostWattsInvalid", "A node label that overrides the host watts can't be read."
    SAFE_FITS = (
        "SafeFits",
        "Hosts at their maximum and GPUs at their safe limits draw no more than the budget.",
    )
    CAPACITY_UNKNOWN = (
        "CapacityUnknown",
        "At least one member has no NodeCapacity that reports what its GPUs can draw.",
    )
    REACTION_TOO_SLOW = "ReactionTooSlow", "The breaker could trip before twice the reaction time has passed."
    REACTION_IN_TIME = "ReactionInTime", "Twice the reaction time passes before the breaker could trip."
    LABEL_RESTRICTED = "LabelRestricted", "The nodeSelector uses only labels that kubelets can't change."
    LABEL_UNRESTRICTED = (
        "LabelUnrestricted",
        "The nodeSelector uses a label that a kubelet can change on its own node.",
    )
    ALL_REPORTING = "AllReporting", "The last report of every member is recent."
    NODES_SILENT = (
        "NodesSilent",
        "At least one member has stopped reporting; the coordinator counts it at its last enforced limits.",
    )
    LEVEL_RAISED = "LevelRaised", "The policy is at a level above normal."
    LEVEL_NORMAL = "LevelNormal", "The policy is at its normal level and caps no GPU."
    GPUS_UNABLE = "GpusUnable", "GPUs that did not reliably take a limit are held at their safe limits."
    ABOVE_BUDGET = "AboveBudget", "The domain draws more than its budget, so the coordinator brakes."
    BELOW_BUDGET = "BelowBudget", "The domain draws no more than its budget."
    LOWEST_LIMITS_FIT = (
        "LowestLimitsFit",
        "Hosts at their maximum and GPUs at their lowest limits draw no more than the budget.",
    )
    CANNOT_BE_HELD = (
        "CannotBeHeld",
        "Even the lowest limits exceed the budget; every GPU that takes limits is at its lowest.",
    )
    NOBODY_LEADS = "NobodyLeads", "No coordinator has reported on the domain yet."
    NOT_REFRESHED = (
        "NotRefreshed",
        "The agent that writes this status has stopped refreshing it, so it is out of date.",
    )
    ALL_SEEN = "AllSeen", "The agent can read all GPUs of the node."
    NO_GPUS = "NoGpus", "The NVIDIA driver lists no GPU on this node."
    GPU_LOST = "GpuLost", "The driver has lost a GPU; Loadline counts it at its maximum."
    GPU_UNREADABLE = (
        "GpuUnreadable",
        "The driver can't read a GPU; Loadline counts it at the most that it may draw.",
    )
    SENSOR_STUCK = (
        "SensorStuck",
        "A GPU's power sensor repeats one value, which its energy counter does not confirm.",
    )
    SENSOR_IMPLAUSIBLE = (
        "SensorImplausible",
        "The driver reports an impossible draw for a GPU; Loadline counts it at its limit.",
    )
    SENSOR_MISSING = (
        "SensorMissing",
        "The driver reports no draw for a GPU; Loadline counts it at its limit.",
    )
    DRIVER_MISSING = "DriverMissing", "The agent can't load the NVIDIA driver's library (libnvidia-ml.so.1)."
    DRIVER_MISMATCH = (
        "DriverMismatch",
        "The kernel driver and the driver library in the agent's container differ in version.",
    )
    PERSISTENCE_OFF = (
        "PersistenceOff",
        "The agent set a limit and read it back, but persistence mode is off: the driver forgets limits when "
        "its last client exits.",
    )
    CLOCKS_UNLISTED = (
        "ClocksUnlisted",
        "The agent set a limit and read it back, but can lock no clock: policy levels that only lock clocks "
        "have no effect.",
    )
    WRITABLE = "Writable", "The agent set a limit on this node and read it back."
    NOT_WRITTEN = "NotWritten", "The agent has set no limit on this node yet, so it could read none back."
    WRITES_FAIL = (
        "WritesFail",
        "The agent couldn't write or read back a limit; Loadline counts the GPU at the highest limit that "
        "it may have.",
    )
    MISSING_PRIVILEGE = "MissingPrivilege", "The agent lacks CAP_SYS_ADMIN, so it only observes this node."
    RANGE_UNKNOWN = "RangeUnknown", "The driver does not report which limits a GPU accepts."
    OTHER_WRITER = "OtherWriter", "A limit that was read back is not the one that the agent wrote."
    SOLE_WRITER = "SoleWriter", "Every limit that was read back is the one that the agent wrote."
    ALL_OWNED = "AllOwned", "The agent knows the pod behind every GPU that draws power."
    OWNER_UNKNOWN = (
        "OwnerUnknown",
        "A GPU is in use, but the agent knows no pod that has it; the GPU counts at the highest priority.",
    )
    STATE_LOST = (
        "StateLost",
        "The agent has lost its state directory and can't reach the API server, so it only observes this "
        "node.",
    )
    NOT_TOLD = "NotTold", "No agent or controller has reported yet what the condition needs."
