"""
What a pod of the own node means to its agent: whose it is, which GPUs it asks for, where it answers.

A kubelet writes its pods' statuses all the time. Made into these few values at once, most
writes are no change, a pod that neither uses GPUs nor runs an engine is nothing, and no
object stays in memory. A pod counts from its binding until it has ended, also while it is
being deleted: until then it draws.

All functions here are pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loadline_agent.kube.clients import Object
from loadline_agent.workloads.device_ids import uuids_in
from loadline_agent.workloads.engine_endpoints import EngineEndpoint, endpoint_of
from loadline_api.names import GPU_RESOURCE, MAIN_POOL, POOL_LABEL, PREFILL_POOL, SERVICE_LABEL

PATH = "/api/v1/pods"

GPU_VENDORS = ("nvidia.com/",)
"""Prefixes of extended resources that are GPUs or parts of one, whatever the chart names."""

AMOUNTS = frozenset({"nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores"})
"""HAMi's resources that say how much of a GPU a pod wants, and not how many."""

SHARES_ANNOTATION = "hami.io/vgpu-devices-allocated"
"""On pods: the GPUs whose shares HAMi's scheduler has chosen, which aren't those of the kubelet's ids."""

ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePod:
    """A pod of this node that uses GPUs, or runs an engine of Loadline's.

    `service` is the one that its label names, empty without; `gpus` the devices that it asks
    for, `claims` whether it holds claims among them, `shares` the GPUs that HAMi has chosen for it,
    `host` the pod's address, None while it doesn't run, and `endpoint` where on it the engine answers,
    as far as the pod tells.
    """

    namespace: str
    labels: frozenset[tuple[str, str]]
    service: str = ""
    pool: str = ""
    gpus: int = 0
    claims: bool = False
    shares: frozenset[str] = frozenset()
    host: str | None = None
    endpoint: EngineEndpoint = field(default_factory=EngineEndpoint)

    @property
    def draws(self) -> bool:
        """Whether it uses GPUs."""
        return self.gpus > 0


def is_gpu(resource: str, gpu_resource: str = GPU_RESOURCE) -> bool:
    """Whether an extended resource counts GPUs or parts of one."""
    return resource == gpu_resource or (resource.startswith(GPU_VENDORS) and resource not in AMOUNTS)


def pod_of(thing: Object, gpu_resource: str = GPU_RESOURCE) -> NodePod | None:
    """What matters of a pod; None if it has ended, or is of no concern here."""
    metadata, spec, status = (thing.get(part) or {} for part in ("metadata", "spec", "status"))
    labels = metadata.get("labels") or {}
    gpus, claims = _gpus(spec, gpu_resource), len(spec.get("resourceClaims") or ())
    engine = SERVICE_LABEL in labels and labels.get(POOL_LABEL) in (MAIN_POOL, PREFILL_POOL)
    if status.get("phase") in ENDED or not (gpus or claims or engine):
        return None
    return NodePod(
        namespace=str(metadata.get("namespace", "")),
        labels=frozenset(labels.items()),
        service=str(labels.get(SERVICE_LABEL, "")),
        pool=str(labels.get(POOL_LABEL, "")),
        gpus=gpus + claims,
        claims=claims > 0,
        shares=uuids_in(str((metadata.get("annotations") or {}).get(SHARES_ANNOTATION, ""))),
        host=_host(status),
        endpoint=endpoint_of(metadata, spec, has_gpus=partial(_has_gpus, gpu_resource=gpu_resource)),
    )


def _gpus(spec: Mapping[str, Any], gpu_resource: str) -> int:
    """Devices that the containers ask for: all together, or as many as one that only prepares."""
    asked = partial(_asked, gpu_resource=gpu_resource)
    together = sum(map(asked, spec.get("containers") or ()))
    return max((together, *map(asked, spec.get("initContainers") or ())))


def _asked(container: Mapping[str, Any], gpu_resource: str) -> int:
    limits = (container.get("resources") or {}).get("limits") or {}
    return sum(_count(said) for name, said in limits.items() if is_gpu(name, gpu_resource))


def _count(said: object) -> int:
    """How many; one for what isn't written as a plain number, which no node could give."""
    text = str(said)
    return int(text) if text.isdecimal() and len(text) < 4 else 1


def _has_gpus(container: Mapping[str, Any], gpu_resource: str) -> bool:
    return _asked(container, gpu_resource) > 0 or bool((container.get("resources") or {}).get("claims"))


def _host(status: Mapping[str, Any]) -> str | None:
    host = status.get("podIP")
    return str(host) if host and status.get("phase") == "Running" else None
