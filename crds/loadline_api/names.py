"""
Every word that two components must spell alike: group, kinds, labels, managers, ports.

A label that the operator writes and the agent reads is a contract; spelt twice, it is
one only by luck. The chart can't import Python, so tests compare its text with these.
Nothing here talks to a cluster: `Resource.path` gives the URL's path, the callers have
the client.
"""

from dataclasses import dataclass

GROUP = "loadline.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "loadline"

SYSTEM_NAMESPACE = "loadline-system"
"""Where the chart is installed unless told otherwise: Leases and power policies live there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of the API server, and where its objects are found."""

    kind: str
    plural: str
    singular: str
    short_name: str
    namespaced: bool
    group: str = GROUP
    version: str = VERSION

    @property
    def full_name(self) -> str:
        """Plural and group, as CRDs are named and as docs write it."""
        return f"{self.plural}.{self.group}"

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """The URL path of the collection or of one object; an empty `namespace` means all of them."""
        parts = [f"/apis/{self.group}/{self.version}"]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        return "/".join(parts + [part for part in (name, subresource) if part])


INFERENCE_SERVICES = Resource(
    kind="InferenceService",
    plural="inferenceservices",
    singular="inferenceservice",
    short_name="llsvc",
    namespaced=True,
)
POWER_DOMAINS = Resource(
    kind="PowerDomain", plural="powerdomains", singular="powerdomain", short_name="pdom", namespaced=False
)
NODE_CAPACITIES = Resource(
    kind="NodeCapacity", plural="nodecapacities", singular="nodecapacity", short_name="ncap", namespaced=False
)
LEASES = Resource(
    kind="Lease",
    plural="leases",
    singular="lease",
    short_name="",
    namespaced=True,
    group="coordination.k8s.io",
    version="v1",
)
RESOURCES = (INFERENCE_SERVICES, POWER_DOMAINS, NODE_CAPACITIES)

POLICY_LABEL = f"{GROUP}/policy"
"""On ConfigMaps: which loop's policy the document is (power, experts, kv, kv-retention, phases or sizing)."""

SERVICE_LABEL = f"{GROUP}/service"
"""On workloads and pods: the InferenceService, of the same namespace, that they serve."""

POOL_LABEL = f"{GROUP}/pool"
"""On workloads and pods: main, prefill or router."""

MAIN_POOL = "main"
PREFILL_POOL = "prefill"
ROUTER_POOL = "router"
"""Pools of a service: main is the decode pool where there is one for prefill."""

ENGINE_CONTAINER = "vllm"
ROUTER_CONTAINER = "router"
"""Containers that `template` merges with."""

UNKNOWN_OWNER = "/unknown"
"""In reports, in the place of a service: whose work the GPU does isn't known. No service has such a name."""

GPU_RESOURCE = "nvidia.com/gpu"
"""The extended resource that pods ask GPUs by, unless the chart's gpuResource names another."""

ENGINE_PORT = 8000
"""Where engines and routers answer, and where clients of the Service do."""

HTTP_PORT = "http"
"""What the port is called at which engines and routers answer; a template may give it another number."""

ROUTER_ROLE = "loadline-router"
"""The ClusterRole that the chart ships for routers; the operator may bind it, and no other."""

DOMAIN_LABEL = f"{GROUP}/domain"
"""On Leases: the PowerDomain that the Lease elects a coordinator for."""

CANDIDATES_ANNOTATION = f"{GROUP}/candidates"
"""On domain Leases: the nodes that may hold it, separated by commas, at most MAX_CANDIDATES."""

MAX_CANDIDATES = 5

DRILL_ANNOTATION = f"{GROUP}/drill"
"""On PowerDomains: an order to hold the domain at its safe limits for some seconds (`drills`)."""

DELETE_ARMED_ANNOTATION = f"{GROUP}/delete-armed"
"""On PowerDomains, with any value: it may be deleted while nodes are armed, which orphans them."""

NODE_RESTRICTION_PREFIX = "node-restriction.kubernetes.io/"
"""Labels below it can't be changed by a kubelet; a domain should select its nodes by them."""

HOST_MAX_WATTS_LABEL = f"{NODE_RESTRICTION_PREFIX}loadline-host-max-watts"
"""On Nodes: the most that the server draws without its GPUs, where that isn't its domain's hostWatts.max."""

HOST_IDLE_WATTS_LABEL = f"{NODE_RESTRICTION_PREFIX}loadline-host-idle-watts"
"""On Nodes, beside the maximum: the same with idle GPUs."""

STARTUP_TAINT = f"{GROUP}/agent-not-ready"
"""On nodes that are born with it: no engine comes here before the node's agent reports."""

POLICY_KEY = "policy.yaml"
"""The key of a policy ConfigMap's one document."""

DEFAULT_POWER_POLICY = "power-default"
"""The power policy's ConfigMap that the chart ships, and that a domain uses unless it names another."""

OPERATOR_ACCOUNT = "loadline-operator"
AGENT_ACCOUNT = "loadline-agent"
"""ServiceAccounts in the system namespace; the admission policies know them by these names."""

AGENT_SELECTOR = "app.kubernetes.io/name=loadline,app.kubernetes.io/component=agent"
"""The agents' pods in the system namespace, as the chart labels them."""

OPERATOR_MANAGER = "loadline-operator"
AGENT_MANAGER = "loadline-agent"
COORDINATOR_MANAGER = "loadline-coordinator"
STALE_MANAGER = "loadline-operator-stale"
"""Field managers of server-side apply: one for each writer of an object. The last is the operator where
it says Unknown in another's place: under its own name the next apply of its own half would take it away."""

AGENT_PORT = 9476
"""The agent's domain loop, mutual TLS."""

OPERATOR_METRICS_PORT = 9477
"""The operator's metrics, health and journal, plain HTTP."""

AGENT_METRICS_PORT = 9478
"""The agent's metrics, health and journal, plain HTTP."""

AGENT_WORKERS_PORT = 9479
"""Where an agent takes the reports of the plugins in its node's engines, plain HTTP."""

WORKERS_SERVICE = "loadline-agent-workers"
"""The Service by which a pod reaches that port of its own node's agent."""

STATE_DIRECTORY = "/var/lib/loadline"
"""The agent's and the guard's host directory."""

TOKEN_NODE_NAME = "authentication.kubernetes.io/node-name"
"""The extra of a bound token's user that names the node."""

TOKEN_POD_NAME = "authentication.kubernetes.io/pod-name"
TOKEN_POD_UID = "authentication.kubernetes.io/pod-uid"
"""The extras that name the pod, of a token that is bound to one."""


def lease_name(domain: str) -> str:
    """The name of the Lease by which `domain` elects its coordinator."""
    return f"loadline-{domain}"


def default_policy(loop: str) -> str:
    """The name of the policy's ConfigMap that a loop goes by where no other is named."""
    return f"{loop}-default"
