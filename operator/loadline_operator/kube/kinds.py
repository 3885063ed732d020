"""
The kinds that the operator reads or writes, and where the API server keeps them.

`names` of the API package knows Loadline's own; here are the ones of Kubernetes too,
in one shape. A `Key` is all that a queue, a table or a metric needs to know of an
object.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from loadline_api import names

Manifest = dict[str, Any]
"""An object as JSON, on its way to or from the API server."""


class Key(NamedTuple):
    """An object of a known kind; `namespace` is empty for what lives in none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def of(cls, manifest: Manifest) -> "Key":
        """The key of an object that has a name."""
        metadata = manifest["metadata"]
        return cls(metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind, its plural and its place; `selector` is the label that the watch asks for."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    selector: str = ""

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, key: Key | None = None, *, namespace: str = "", subresource: str = "") -> str:
        """The URL path of an object, or without `key` of the collection; no namespace means all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = key.namespace if key is not None else namespace
        parts = [root, *(["namespaces", where] if self.namespaced and where else []), self.plural]
        return "/".join([*parts, *([key.name] if key is not None else []), *filter(None, [subresource])])

    def manifest(self, key: Key, **metadata: object) -> Manifest:
        """The head of an object to apply: version, kind and metadata."""
        place = {"namespace": key.namespace} if key.namespace else {}
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": key.name, **place, **metadata},
        }


def _own(resource: names.Resource, selector: str = "") -> Kind:
    return Kind(
        group=resource.group,
        version=resource.version,
        plural=resource.plural,
        kind=resource.kind,
        namespaced=resource.namespaced,
        selector=selector,
    )


INFERENCE_SERVICES = _own(names.INFERENCE_SERVICES)
POWER_DOMAINS = _own(names.POWER_DOMAINS)
NODE_CAPACITIES = _own(names.NODE_CAPACITIES)
LEASES = _own(names.LEASES, names.DOMAIN_LABEL)
NODES = Kind(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
CONFIG_MAPS = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap", selector=names.POLICY_LABEL)
SERVICES = Kind(group="", version="v1", plural="services", kind="Service", selector=names.SERVICE_LABEL)
SERVICE_ACCOUNTS = Kind(
    group="", version="v1", plural="serviceaccounts", kind="ServiceAccount", selector=names.SERVICE_LABEL
)
PODS = Kind(group="", version="v1", plural="pods", kind="Pod", selector=names.SERVICE_LABEL)
DEPLOYMENTS = Kind(
    group="apps", version="v1", plural="deployments", kind="Deployment", selector=names.SERVICE_LABEL
)
ROLE_BINDINGS = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    plural="rolebindings",
    kind="RoleBinding",
    selector=names.SERVICE_LABEL,
)
POD_DISRUPTION_BUDGETS = Kind(
    group="policy",
    version="v1",
    plural="poddisruptionbudgets",
    kind="PodDisruptionBudget",
    selector=names.SERVICE_LABEL,
)
AUTOSCALERS = Kind(
    group="autoscaling", version="v2", plural="horizontalpodautoscalers", kind="HorizontalPodAutoscaler"
)
AGENT_PODS = Kind(group="", version="v1", plural="pods", kind="Pod", selector=names.AGENT_SELECTOR)
EVENTS = Kind(group="", version="v1", plural="events", kind="Event")

LEADER_WORKER_SETS = Kind(
    group="leaderworkerset.x-k8s.io",
    version="v1",
    plural="leaderworkersets",
    kind="LeaderWorkerSet",
    selector=names.SERVICE_LABEL,
)
POD_MONITORS = Kind(
    group="monitoring.coreos.com",
    version="v1",
    plural="podmonitors",
    kind="PodMonitor",
    selector=names.SERVICE_LABEL,
)
INFERENCE_POOLS = Kind(
    group="inference.networking.k8s.io",
    version="v1",
    plural="inferencepools",
    kind="InferencePool",
    selector=names.SERVICE_LABEL,
)
CUSTOM_RESOURCES = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)

EVERYWHERE = (
    INFERENCE_SERVICES,
    POWER_DOMAINS,
    NODE_CAPACITIES,
    NODES,
    PODS,
    DEPLOYMENTS,
    SERVICES,
    SERVICE_ACCOUNTS,
    ROLE_BINDINGS,
    POD_DISRUPTION_BUDGETS,
    AUTOSCALERS,
)
"""Kinds that are watched in the whole cluster, and that every cluster has."""

IN_SYSTEM = (CONFIG_MAPS, LEASES, AGENT_PODS)
"""Kinds that are watched in the system namespace, since they mean something only there."""
