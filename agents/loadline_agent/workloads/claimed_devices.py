"""
Which GPU a device of a claim is: the node's ResourceSlices say it.

The kubelet tells of a claim's devices by driver, pool and name (`gpu.nvidia.com`, the node, `gpu-3`).
What such a device is stands in the slices that the driver publishes: an attribute `uuid`, and for a
part of a GPU `parentUUID`. A device without either is no GPU (a NIC, say), unless its driver's or its
own name says that it is one: then nobody knows which. Slices are read when a device comes up that isn't
known, and again no oftener than once a minute, since they change with the hardware.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from loadline_agent.kube.clients import Kube, Object
from loadline_api.api_errors import KubeError

PATH: Final = "/apis/resource.k8s.io/v1/resourceslices"
"""Served since Kubernetes 1.34; before, claims are off unless somebody turns them on."""

AGAIN_S: Final = 60.0
"""Between two readings for a device that no slice has. Chosen."""

log = structlog.get_logger("loadline.agent")


class ClaimedDevice(NamedTuple):
    """A device as the kubelet and the slices name it."""

    driver: str
    pool: str
    name: str


Slices = Callable[[], Awaitable[Sequence[Object]]]
"""Reads a node's ResourceSlices; KubeError where it can't."""


def slices_of(kube: Kube, node: str) -> Slices:
    """How a node's slices are read."""

    async def read() -> Sequence[Object]:
        return (await kube.list(PATH, fields=f"spec.nodeName={node}")).items

    return read


class ClaimedDevices:
    """Devices of the node's slices, read as they are asked for."""

    def __init__(self, slices: Slices, clock: Callable[[], float]) -> None:
        self._slices, self._clock = slices, clock
        self._known: Mapping[ClaimedDevice, str | None] = {}
        self._read_s: float | None = None
        self._failed = False

    async def ids(self, devices: Iterable[ClaimedDevice]) -> tuple[str, ...] | None:
        """The UUIDs of those devices that are GPUs or parts of one; None as long as one isn't known."""
        wanted = frozenset(devices)
        if not wanted <= self._known.keys() and self._may_read():
            await self._read()
        if not wanted <= self._known.keys():
            return None
        return tuple(sorted(uuid for uuid in map(self._known.__getitem__, wanted) if uuid is not None))

    def _may_read(self) -> bool:
        return self._read_s is None or self._clock() - self._read_s >= AGAIN_S

    async def _read(self) -> None:
        self._read_s = self._clock()
        try:
            listed = await self._slices()
        except KubeError as error:
            if not self._failed:
                log.warning("devices of claims unknown: all GPUs count as their pods'", error=str(error))
            self._failed = True
            return
        self._known = dict(each for one in listed for each in devices_of(one))
        self._failed = False


def devices_of(thing: Object) -> Iterator[tuple[ClaimedDevice, str | None]]:
    """The devices of a ResourceSlice that can be told, each with its GPU's UUID; None where it is no GPU."""
    spec = thing.get("spec") or {}
    driver, pool = str(spec.get("driver", "")), str((spec.get("pool") or {}).get("name", ""))
    for one in spec.get("devices") or ():
        device = ClaimedDevice(driver, pool, str(one.get("name", "")))
        uuid = _uuid(one.get("attributes") or {}, driver)
        if uuid is not None or "gpu" not in f"{driver}/{device.name}":
            yield device, uuid


def _uuid(attributes: Mapping[str, Any], driver: str) -> str | None:
    """The attribute of the GPU's UUID, whose name may bear the driver's domain; of a part the parent's."""
    names = ("parentUUID", f"{driver}/parentUUID", "uuid", f"{driver}/uuid")
    values = (attributes[name].get("string") for name in names if name in attributes)
    return next((str(value) for value in values if value), None)
