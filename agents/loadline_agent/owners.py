"""
Whose work a GPU does: the services behind each UUID, for the report's priorities.

`Owners` is the seam. Today a node's GPUs are taken to belong to every service with a
GPU pod on the node, which is right where one engine fills a server, and errs towards
the higher priority where several share it. The kubelet's pod-resources socket will
tell them apart later, behind the same method.

One watch on the pods of the own node, of which a name is all that is kept. A pod counts
from its binding until it has ended, also while it is being deleted: until then it draws.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from loadline_agent.followers import Follower
from loadline_agent.kube import Kube, Object
from loadline_api.names import SERVICE_LABEL

PODS = "/api/v1/pods"

GPU_VENDORS = ("nvidia.com/",)
"""Prefixes of extended resources that are GPUs or parts of one."""

ENDED = frozenset({"Succeeded", "Failed"})


class Owners(Protocol):
    """Which services run on a GPU."""

    def owners(self, uuid: str) -> tuple[str, ...]:
        """`namespace/name` of the services, sorted; empty when nobody's work is there."""


class NodeOwners:
    """Every GPU of the node belongs to every service with a GPU pod on it."""

    def __init__(self, kube: Kube, node: str, on_change: Callable[[], None] = lambda: None) -> None:
        self._pods = Follower(
            kube, PODS, owner_of, on_change, labels=SERVICE_LABEL, fields=f"spec.nodeName={node}"
        )

    async def run(self) -> None:
        """Follow the node's pods until cancelled."""
        await self._pods.run()

    def owners(self, uuid: str) -> tuple[str, ...]:
        """The same services for every GPU of the node."""
        return tuple(sorted({owner for owner in self._pods.items.values() if owner is not None}))


def owner_of(pod: Object) -> str | None:
    """`namespace/name` of the service that the pod works for, if it uses GPUs and hasn't ended."""
    metadata = pod.get("metadata", {})
    service = metadata.get("labels", {}).get(SERVICE_LABEL)
    ended = pod.get("status", {}).get("phase") in ENDED
    if not service or ended or not _uses_gpus(pod.get("spec", {})):
        return None
    return f"{metadata.get('namespace')}/{service}"


def _uses_gpus(spec: Mapping[str, Any]) -> bool:
    """Whether some container asks for a GPU, or the pod holds a claim on a device."""
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    asked = (name for one in containers for name in one.get("resources", {}).get("limits", {}))
    return bool(spec.get("resourceClaims")) or any(name.startswith(GPU_VENDORS) for name in asked)
