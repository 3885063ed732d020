"""
Nodes of a bed: Ready once and for all, with GPUs to be scheduled on.

A node here is an object and nothing else. With no kubelet there is no heartbeat, and
with no node life cycle controller nobody misses it; so 52 nodes cost nothing at rest.
The scheduler takes them for real: it binds pods by what `allocatable` says.
"""

from collections.abc import Mapping

from testbed.cluster.binaries import kubernetes_version
from testbed.cluster.clients import Object

GPU_RESOURCE = "nvidia.com/gpu"


def node(
    name: str,
    *,
    gpus: int = 8,
    labels: Mapping[str, str] | None = None,
    address: str = "127.0.0.1",
    cpu: str = "128",
    memory: str = "1Ti",
    pods: int = 110,
) -> Object:
    """A Ready Node with its capacity; sizes as of a server with eight A100."""
    room = {"cpu": cpu, "memory": memory, "pods": str(pods), GPU_RESOURCE: str(gpus)}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**own, **(labels or {})}},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [_ready()],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "nodeInfo": _info(name),
        },
    }


def _ready() -> Object:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "TestBed",
        "message": "a node of the test bed",
        "lastHeartbeatTime": None,
        "lastTransitionTime": None,
    }


def _info(name: str) -> Object:
    blank = dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "kubeProxyVersion"), name)
    return {
        **blank,
        "osImage": "test bed",
        "operatingSystem": "linux",
        "architecture": "amd64",
        "containerRuntimeVersion": "none://0",
        "kubeletVersion": f"v{kubernetes_version()}",
    }
