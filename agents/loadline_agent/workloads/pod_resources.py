"""
Which GPUs the kubelet has given to which pod, asked at its pod-resources socket.

A pod's spec says how many GPUs it wants; which it got is known to the kubelet alone. It
is asked when the GPU pods of the node have changed, and again until each has its
devices, never more than once a second; otherwise once a minute. Where the socket isn't
there or answers badly, `known` is None, a log line says so once, and whoever asks must
do without.

Names, numbers and types of the fields are those of k8s.io/kubelet's podresources/v1
api.proto (Apache-2.0), as far as they are needed; protobuf makes classes of the table
and skips the rest. gRPC and protobuf are loaded at the first question: nodes without
GPU pods don't pay for them (8 MiB).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog

from loadline_agent.hardware import nvml
from loadline_agent.workloads.claimed_devices import ClaimedDevice, ClaimedDevices
from loadline_agent.workloads.device_ids import gpu_of, is_renumbered
from loadline_agent.workloads.pods import is_gpu
from loadline_api.names import GPU_RESOURCE
from loadline_policies.errors import HardwareError, LoadlineError

LEAST_APART_S = 1.0
"""Between two questions, whatever happens on the node."""

EVERY_S = 60.0
"""How often is asked without a reason: devices of a pod don't change. Chosen."""

ANSWER_S = 5.0
"""The kubelet answers from memory in a millisecond. Chosen."""

MESSAGES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "ListPodResourcesRequest": (),
    "ListPodResourcesResponse": (("pod_resources", 1, "PodResources"),),
    "PodResources": (("name", 1, ""), ("namespace", 2, ""), ("containers", 3, "ContainerResources")),
    "ContainerResources": (
        ("name", 1, ""),
        ("devices", 2, "ContainerDevices"),
        ("dynamic_resources", 5, "DynamicResource"),
    ),
    "ContainerDevices": (("resource_name", 1, ""), ("device_ids", 2, "string")),
    "DynamicResource": (("claim_resources", 4, "ClaimResource"),),
    "ClaimResource": (("driver_name", 2, ""), ("pool_name", 3, ""), ("device_name", 4, "")),
}
"""Name, number and type of each field: a string, or repeated messages or strings."""

Device = str | ClaimedDevice
"""A device as the kubelet tells it: a device plugin's id, or one of a claim."""

Gpus = Mapping[str, frozenset[str] | None]
"""GPUs by pod (`namespace/name`); None for a pod with a device that can't be told."""

log = structlog.get_logger("loadline.agent")


class Unread(LoadlineError):
    """The kubelet doesn't say which GPUs its pods have."""


class PodResources:
    """What the kubelet says, kept up to date; `known` is None while it doesn't, `problem` says why.

    `of_claims` are the pods of whose claims it tells, `renumbered` those whose ids are shares that HAMi has
    numbered: the kubelet picks one, and which GPU it is is decided by others.
    """

    def __init__(
        self,
        socket: Path,
        on_change: Callable[[], None],
        *,
        claims: ClaimedDevices,
        gpu_resource: str = GPU_RESOURCE,
        parent_of: Callable[[str], str] = nvml.parent_of,
    ) -> None:
        self.known: Gpus | None = None
        self.of_claims: frozenset[str] = frozenset()
        self.renumbered: frozenset[str] = frozenset()
        self.problem: str | None = None
        self.asked = 0
        self._socket, self._on_change = socket, on_change
        self._claims, self._gpu_resource = claims, gpu_resource
        self._here: frozenset[str] = frozenset()
        self._parent_of = parent_of
        self._parents: dict[str, str] = {}
        self._unknown: set[str] = set()
        self._expected: frozenset[str] = frozenset()
        self._woken = asyncio.Event()
        self._misses = 0

    def expect(self, pods: frozenset[str]) -> None:
        """Know that these pods have GPUs, or will in a moment."""
        if pods != self._expected:
            self._expected, self._misses = pods, 0
            self._woken.set()

    def here(self, uuids: frozenset[str]) -> None:
        """Know which GPUs the node has: whatever else an id seems to name isn't one."""
        if uuids != self._here:
            self._here = uuids
            self._woken.set()

    async def run(self) -> None:
        """Ask as often as it takes; until cancelled."""
        while True:
            self._woken.clear()
            if self._expected:
                await self.look()
                await asyncio.sleep(LEAST_APART_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._woken.wait()

    async def look(self) -> None:
        """Ask once."""
        self.asked += 1
        before = self.known
        try:
            listed = await ask(self._socket, self._gpu_resource)
            self.known = {pod: await self._gpus(devices) for pod, devices in listed.items()}
            self.of_claims = _pods(listed, lambda one: isinstance(one, ClaimedDevice))
            self.renumbered = _pods(listed, lambda one: isinstance(one, str) and is_renumbered(one))
            self._settle(None)
        except Unread as error:
            self.known = None
            self._settle(str(error))
        self._misses = self._misses + 1 if self._missing() else 0
        if self.known != before:
            self._on_change()

    def _settle(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            log.warning(
                "the GPUs of pods are unknown: each GPU counts as used by every service", error=problem
            )
        if problem is None and self.problem is not None:
            log.info("the GPUs of pods are known again")
        self.problem = problem

    def _missing(self) -> bool:
        return self.known is None or not self._expected <= self.known.keys()

    def _pause_s(self) -> float | None:
        if not self._expected:
            return None
        return min(EVERY_S, LEAST_APART_S * 2 ** min(self._misses, 10)) if self._misses else EVERY_S

    async def _gpus(self, devices: Iterable[Device]) -> frozenset[str] | None:
        claimed = [one for one in devices if isinstance(one, ClaimedDevice)]
        of_claims = await self._claims.ids(claimed) if claimed else ()
        if of_claims is None:
            return None
        ids = [*of_claims, *(one for one in devices if isinstance(one, str))]
        found = [gpu_of(one, self._here) or await self._parent(one) for one in ids]
        return None if None in found else frozenset(one for one in found if one is not None)

    async def _parent(self, device: str) -> str | None:
        """The GPU of a MIG device, by the driver, off the loop; remembered, since it doesn't change."""
        if device.startswith("MIG-") and device not in self._parents:
            try:
                self._parents[device] = await asyncio.to_thread(self._parent_of, device)
            except HardwareError as error:
                if device not in self._unknown:
                    log.warning("GPU of a MIG device unknown", device=device, error=str(error))
                self._unknown.add(device)
        return self._parents.get(device)


async def ask(socket: Path, gpu_resource: str = GPU_RESOURCE) -> dict[str, tuple[Device, ...]]:
    """Devices of each pod that has GPUs or claims; Unread if the kubelet doesn't say."""
    from google.protobuf.message import DecodeError
    from grpclib.client import Channel, UnaryUnaryMethod
    from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

    request, response = _classes()
    channel = Channel(path=str(socket))
    try:
        call = UnaryUnaryMethod[Any, Any](channel, "/v1.PodResourcesLister/List", request, response)
        answer = await call(request(), timeout=ANSWER_S)
    except FileNotFoundError as error:
        raise Unread(
            f"{socket} does not exist: mount the kubelet's pod-resources directory into the agent's pod"
        ) from error
    except (OSError, GRPCError, ProtocolError, StreamTerminatedError, DecodeError) as error:
        raise Unread(f"{socket}: {error!r}") from error
    finally:
        channel.close()
    return _devices(answer, gpu_resource)


def _pods(listed: Mapping[str, Iterable[Device]], so: Callable[[Device], bool]) -> frozenset[str]:
    return frozenset(pod for pod, devices in listed.items() if any(map(so, devices)))


def _devices(answer: Any, gpu_resource: str) -> dict[str, tuple[Device, ...]]:
    found: dict[str, tuple[Device, ...]] = {}
    for pod in answer.pod_resources:
        devices = tuple([one for container in pod.containers for one in _of(container, gpu_resource)])
        if devices:
            found[f"{pod.namespace}/{pod.name}"] = devices
    return found


def _of(container: Any, gpu_resource: str) -> Iterator[Device]:
    for row in container.devices:
        if is_gpu(row.resource_name, gpu_resource):
            yield from row.device_ids
    for claim in container.dynamic_resources:
        for one in claim.claim_resources:
            yield ClaimedDevice(one.driver_name, one.pool_name, one.device_name)


@cache
def _classes() -> tuple[Any, Any]:
    """The classes of request and answer, in a pool of their own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="podresources.proto", package="v1", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            nested = kind in MESSAGES
            message.field.add(
                name=field,
                number=number,
                label=field_type.LABEL_REPEATED if kind else field_type.LABEL_OPTIONAL,
                type=field_type.TYPE_MESSAGE if nested else field_type.TYPE_STRING,
                type_name=f".v1.{kind}" if nested else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v1.ListPodResources{end}"))
        for end in ("Request", "Response")
    )
    return request, response
