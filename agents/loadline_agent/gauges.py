"""
The agent's gauges: what each is called, what it says, and which labels it has.

A gauge is read when Prometheus asks, in the place where its value is known: the node's facts, the
coordinator, the services. That place names the gauge from here and gives the value; so all names, helps and
labels stand in one table, from which the reference is written too. Counters are in `metrics`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one gauge, taken when asked; its labels' values are in the gauge's order."""

    gauge: "Gauge"
    value: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A name, a help text, and the names of the labels; each label has a bounded set of values."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def reading(self, value: float, *labels: str) -> Reading:
        """The gauge with this value; a label too few or too many is a ValueError."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}: {labels} doesn't fit them")
        return Reading(self, float(value), labels)


GPU = ("gpu",)
GPU_WATTS = Gauge(
    "loadline_power_gpu_watts",
    "Draw of the GPU in watts; its limit in force while loadline_power_gpu_ok is 0.",
    GPU,
)
GPU_OK = Gauge(
    "loadline_power_gpu_ok", "1 while the GPU answers and its power readings are plausible, else 0.", GPU
)
GPU_ABLE = Gauge(
    "loadline_power_gpu_able",
    "0 while writes of the GPU's limit fail, the agent can't read it, or another program writes it; else 1,"
    " also before the first write.",
    GPU,
)
GPU_LIMIT_WATTS = Gauge("loadline_power_gpu_limit_watts", "Power limit in force in watts, as read back.", GPU)
GPU_CLOCK_CAP_MHZ = Gauge(
    "loadline_power_gpu_clock_cap_mhz", "Upper end of the SM clock lock in MHz; 0 if unlocked.", GPU
)
GPU_SAFE_WATTS = Gauge(
    "loadline_power_gpu_safe_watts", "Safe limit of the GPU in watts: its limit after a step down.", GPU
)
GPU_PERSISTENCE_MODE = Gauge(
    "loadline_power_gpu_persistence_mode", "1 for the persistence mode that was read.", ("gpu", "mode")
)
GPU_MODULE_LIMIT_WATTS = Gauge(
    "loadline_power_gpu_module_limit_watts",
    "Power limit in watts of the module (GPU and Grace CPU) that the GPU is part of; read once a minute.",
    GPU,
)
GPU_MODULE_WATTS = Gauge(
    "loadline_power_gpu_module_watts",
    "Draw in watts of the module (GPU and Grace CPU) that the GPU is part of; read once a minute.",
    GPU,
)
GPU_CLOCK_LOCKABLE = Gauge(
    "loadline_power_gpu_clock_lockable",
    "1 if the driver lists an SM clock below the maximum that can be locked, else 0.",
    GPU,
)
GPU_LAST_XID = Gauge(
    "loadline_power_gpu_last_xid", "The last critical XID error that the driver reported for the GPU.", GPU
)

NODE_WATTS = Gauge(
    "loadline_power_node_watts", "Draw of the node in watts: its GPU sensors and the host model."
)
ARMED = Gauge(
    "loadline_power_armed", "1 while the node is armed: from its first Enforce lease until its release."
)
LEASE_SECONDS = Gauge("loadline_power_lease_seconds", "Seconds until the lease in force ends.")
ORPHANED = Gauge("loadline_power_orphaned", "1 while the node is armed for a PowerDomain that was deleted.")
LEFT_BEHIND_GPUS = Gauge(
    "loadline_power_left_behind_gpus", "GPUs whose original limit or clock could not be restored at release."
)
GUARD_AGE_SECONDS = Gauge(
    "loadline_power_guard_age_seconds", "Seconds since the guard process last checked the limits."
)
GUARD_INTERVENTIONS = Gauge(
    "loadline_power_guard_interventions", "Power limits that the guard process has lowered."
)
GUARD_ERRORS = Gauge(
    "loadline_power_guard_errors", "Failed NVML calls and record reads of the guard process."
)
CONFLICT = Gauge(
    "loadline_power_conflict",
    "1 while the agent finds a conflict, else 0; reason is that of the condition Conflict.",
    ("reason",),
)

LEADING = Gauge("loadline_power_leading", "1 while this node is the coordinator of its PowerDomain, else 0.")
DOMAIN = ("domain",)
DOMAIN_WATTS = Gauge(
    "loadline_power_domain_watts",
    "Draw of the domain in watts; members that don't report count at their limits.",
    DOMAIN,
)
DOMAIN_BUDGET_WATTS = Gauge("loadline_power_domain_budget_watts", "spec.budgetWatts of the domain.", DOMAIN)
DOMAIN_HEAT_RATIO = Gauge(
    "loadline_power_domain_heat_ratio", "Heat of the breaker: 0 is cold, at 1 it trips.", DOMAIN
)
DOMAIN_BRAKES = Gauge(
    "loadline_power_domain_brakes",
    "Times that the draw rose above the budget under this coordinator.",
    DOMAIN,
)
DOMAIN_NODES = Gauge("loadline_power_domain_nodes", "Members of the domain.", DOMAIN)
DOMAIN_SILENT_NODES = Gauge(
    "loadline_power_domain_silent_nodes", "Members whose last report is too old.", DOMAIN
)
DOMAIN_RELIEVED_SERVICES = Gauge(
    "loadline_power_domain_relieved_services",
    "Services whose GPUs are relieved of a cap because they miss an objective.",
    DOMAIN,
)
DOMAIN_ENFORCING = Gauge(
    "loadline_power_domain_enforcing", "1 while at least one member is armed, else 0.", DOMAIN
)
DOMAIN_LEVEL = Gauge(
    "loadline_power_domain_level",
    "1 for the policy level that is in force, with the hash of its policy document.",
    ("domain", "level", "policy_hash"),
)

POD_RESOURCES = Gauge(
    "loadline_pod_resources",
    "1 while the kubelet's pod-resources API reports which pod has which GPU, else 0.",
)
SERVICE = ("service",)
SERVICE_GPUS = Gauge("loadline_service_gpus", "GPUs of this node that pods of the service have.", SERVICE)
SERVICE_RUNNING = Gauge(
    "loadline_service_running",
    "Requests running in the service's engines on this node that report them.",
    SERVICE,
)
SERVICE_WAITING = Gauge(
    "loadline_service_waiting",
    "Requests waiting in the service's engines on this node that report them.",
    SERVICE,
)
SERVICE_KV_USE_RATIO = Gauge(
    "loadline_service_kv_use_ratio",
    "Share of KV cache in use (0 to 1) in the fullest of the service's engines on this node.",
    SERVICE,
)
SERVICE_TTFT_SECONDS = Gauge(
    "loadline_service_ttft_seconds",
    "Time to first token in seconds at the percentile of the objectives, over the last minute.",
    SERVICE,
)
SERVICE_ITL_SECONDS = Gauge(
    "loadline_service_itl_seconds",
    "Time between tokens in seconds at the percentile of the objectives, over the last minute.",
    SERVICE,
)
SERVICE_MISSED_RATIO = Gauge(
    "loadline_service_missed_ratio",
    "Highest of the latencies at their percentile divided by their objective; above 1 an objective is"
    " missed.",
    SERVICE,
)
SERVICE_WORKERS = Gauge(
    "loadline_service_workers",
    "Engines of the service on this node whose plugin reports to the agent.",
    SERVICE,
)
SERVICE_POLICY = Gauge(
    "loadline_service_policy",
    "1 for the policy whose settings the agent sends to the service's engines on this node, with the hash"
    " of its document.",
    ("service", "loop", "policy", "policy_hash"),
)
SERVICE_SETTLED_WORKERS = Gauge(
    "loadline_service_settled_workers",
    "Engines of the service on this node in which all ranks hold the settings that the agent sent last.",
    SERVICE,
)

EXPERTS_GAMMA_RATIO = Gauge(
    "loadline_experts_gamma_ratio",
    "Lowest γ in force in the service's engines on this node, as a multiple of the mean load; absent if none"
    " is.",
    SERVICE,
)
EXPERTS_REASON_ENGINES = Gauge(
    "loadline_experts_reason_engines",
    "Engines of the service on this node by the reason for which their experts are bounded or aren't.",
    ("service", "reason"),
)
EXPERTS_DROPPED_RATIO = Gauge(
    "loadline_experts_dropped_ratio",
    "Largest share of pairs (a token at an expert) that the capacity in force has dropped in an engine of the"
    " service on this node.",
    SERVICE,
)
EXPERTS_CANARY_DRIFT_NATS = Gauge(
    "loadline_experts_canary_drift_nats",
    "Largest fall of the mean log-probability of the canary prompts under a capacity, in nats.",
    SERVICE,
)

KV_REASON_ENGINES = Gauge(
    "loadline_kv_reason_engines",
    "Engines of the service on this node by the reason for which the policy decides which requests start, or"
    " doesn't.",
    ("service", "reason"),
)

RETENTION_REASON_ENGINES = Gauge(
    "loadline_retention_reason_engines",
    "Engines of the service on this node by the reason for which requests are bounded, or aren't.",
    ("service", "reason"),
)
RETENTION_BUDGET_TOKENS = Gauge(
    "loadline_retention_budget_tokens",
    "Tokens that a new request keeps, in the engine of the service on this node where that is the least;"
    " absent while new requests keep all.",
    SERVICE,
)
RETENTION_RECALL_LOSS_RATIO = Gauge(
    "loadline_retention_recall_loss_ratio",
    "Share of the recall probe's facts that are lost under the budget in force (0 to 1), in the worst of the"
    " service's engines on this node; absent while it isn't measured.",
    SERVICE,
)
RETENTION_CANARY_DRIFT_NATS = Gauge(
    "loadline_retention_canary_drift_nats",
    "By how much the mean log-probability of the recall probe's answer has fallen under the budget in force,"
    " in the worst of the service's engines on this node; absent while it isn't measured.",
    SERVICE,
)

ALL = tuple([one for one in globals().values() if isinstance(one, Gauge)])
"""Every gauge above, in its order."""
