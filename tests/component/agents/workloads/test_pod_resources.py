"""Which GPUs the kubelet has given to which pod: a real gRPC server on a real socket, its bytes by hand."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from loadline_agent.hardware import nvml
from loadline_agent.kube.clients import Object
from loadline_agent.workloads import pod_resources
from loadline_agent.workloads.claimed_devices import ClaimedDevice, ClaimedDevices
from loadline_agent.workloads.pod_resources import PodResources, Unread, ask
from loadline_api.api_errors import Forbidden
from loadline_policies.errors import HardwareError

Pods = dict[str, dict[str, Sequence[str]]]

GPU, OTHER, MIG = "GPU-5c1e", "GPU-77aa", "MIG-0f3b"
WHOLE = "GPU-30f90f49-43ab-0a78-bf5c-93ed41ef2da2"


class AsTheyAre(CodecBase):
    """Bytes on the wire are what the test wrote."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


def field(number: int, content: str | bytes) -> bytes:
    """A length-delimited field; all are shorter than 16 KiB."""
    payload = content.encode() if isinstance(content, str) else content
    length = len(payload)
    size = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    return bytes([number << 3 | 2]) + size + payload


def claim(*devices: ClaimedDevice) -> bytes:
    """A DynamicResource with its claim's name and the CDI devices that nobody asks for."""
    resources = b"".join(
        field(
            4,
            field(1, field(1, f"k8s.{one.driver}/gpu={one.name}"))
            + field(2, one.driver)
            + field(3, one.pool)
            + field(4, one.name),
        )
        for one in devices
    )
    return field(5, field(2, "chat-gpu-x7k2p") + field(3, "prod") + resources)


def answer(pods: Pods, claims: Mapping[str, Sequence[ClaimedDevice]] | None = None) -> bytes:
    """A ListPodResourcesResponse, with CPU ids (packed) and a NUMA node that nobody asks for."""
    cpus, topology = field(3, bytes([0, 1])), field(3, field(1, bytes([8, 1])))
    return b"".join(
        field(
            1,
            field(1, key.partition("/")[2])
            + field(2, key.partition("/")[0])
            + field(3, field(1, "router") + cpus)
            + field(
                3,
                field(1, "vllm")
                + b"".join(
                    field(2, field(1, resource) + b"".join(field(2, one) for one in ids) + topology)
                    for resource, ids in resources.items()
                )
                + (claim(*claims[key]) if claims and key in claims else b""),
            ),
        )
        for key, resources in pods.items()
    )


class Kubelet:
    """Answers List with what the test says, or fails as it says."""

    def __init__(self, socket: Path) -> None:
        self.socket, self.asked = socket, 0
        self.answer, self.error = answer({}), None  # type: bytes, GRPCError | None
        self._server = Server([self], codec=AsTheyAre())

    async def list(self, stream: Stream[Any, Any]) -> None:
        assert await stream.recv_message() == b""
        self.asked += 1
        if self.error is not None:
            raise self.error
        await stream.send_message(self.answer)

    def says(self, pods: Pods, claims: Mapping[str, Sequence[ClaimedDevice]] | None = None) -> None:
        self.answer = answer(pods, claims)

    async def start(self) -> None:
        await self._server.start(path=str(self.socket))

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()
        self.socket.unlink(missing_ok=True)

    def __mapping__(self) -> dict[str, Handler]:
        kind = Cardinality.UNARY_UNARY
        return {"/v1.PodResourcesLister/List": Handler(self.list, kind, bytes, bytes)}


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Kubelet]:
    made = Kubelet(tmp_path / "kubelet.sock")
    await made.start()
    yield made
    await made.stop()


class Slices:
    """An API server that has these ResourceSlices, or none that may be read."""

    def __init__(self, slices: Sequence[Object] | None) -> None:
        self._slices, self.asked = slices, 0

    async def __call__(self) -> Sequence[Object]:
        self.asked += 1
        if self._slices is None:
            raise Forbidden("GET resourceslices answers 403: no", 403)
        return self._slices


class Known(PodResources):
    """Pod resources that a test waits for."""

    def __init__(
        self,
        socket: Path,
        parent_of: Callable[[str], str] = nvml.parent_of,
        *,
        slices: Sequence[Object] | None = None,
    ) -> None:
        self.moved, self.slices = asyncio.Event(), Slices(slices)
        self.now = 0.0
        claims = ClaimedDevices(self.slices, lambda: self.now)
        super().__init__(socket, self.moved.set, claims=claims, parent_of=parent_of)

    async def until(self, so: Callable[[], bool]) -> None:
        for _ in range(1000):
            if so():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("not so after 5 s")


@pytest.fixture
async def known(kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Known]:
    monkeypatch.setattr(pod_resources, "LEAST_APART_S", 0.02)
    made = Known(kubelet.socket)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_devices_of_gpu_vendors_are_told_by_pod(kubelet: Kubelet) -> None:
    kubelet.says(
        {
            "prod/chat-0": {"nvidia.com/gpu": [GPU, OTHER], "example.com/nic": ["eth7"]},
            "prod/quiet-0": {},
            "test/part-0": {"nvidia.com/mig-1g.10gb": [MIG]},
        }
    )
    assert await ask(kubelet.socket) == {"prod/chat-0": (GPU, OTHER), "test/part-0": (MIG,)}


async def test_a_big_node_is_told_in_full(kubelet: Kubelet) -> None:
    pods: Pods = {f"prod/chat-{n}": {"nvidia.com/gpu": [f"{GPU}::{n}"]} for n in range(250)}
    kubelet.says(pods)
    assert len(await ask(kubelet.socket)) == 250


@pytest.mark.parametrize(
    "error", [GRPCError(Status.UNIMPLEMENTED), GRPCError(Status.RESOURCE_EXHAUSTED, "too many requests")]
)
async def test_a_kubelet_that_refuses_is_unread(kubelet: Kubelet, error: GRPCError) -> None:
    kubelet.error = error
    with pytest.raises(Unread, match=str(error.status.name)):
        await ask(kubelet.socket)


async def test_an_answer_of_something_else_is_unread(kubelet: Kubelet) -> None:
    kubelet.answer = b"\xff\xff\xff"
    with pytest.raises(Unread):
        await ask(kubelet.socket)


async def test_a_server_that_speaks_no_grpc_is_unread(tmp_path: Path) -> None:
    async def curt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 no\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(curt, tmp_path / "curt.sock")
    with pytest.raises(Unread):
        await ask(tmp_path / "curt.sock")
    server.close()
    await server.wait_closed()


async def test_a_silent_kubelet_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_resources, "ANSWER_S", 0.05)
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda _, writer: held.append(writer), tmp_path / "mute.sock")
    with pytest.raises(Unread):
        await ask(tmp_path / "mute.sock")
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_a_missing_socket_says_what_to_mount(tmp_path: Path) -> None:
    with pytest.raises(Unread, match="mount the kubelet"):
        await ask(tmp_path / "kubelet.sock")


async def test_pods_that_come_are_placed_as_soon_as_they_have_devices(kubelet: Kubelet, known: Known) -> None:
    known.expect(frozenset({"prod/chat-0"}))
    await known.until(lambda: kubelet.asked >= 3)
    assert known.known == {}
    kubelet.says({"prod/chat-0": {"nvidia.com/gpu": [GPU]}})
    await known.until(lambda: known.known == {"prod/chat-0": frozenset({GPU})})
    assert known.moved.is_set()


async def test_a_kubelet_is_left_in_peace_once_all_is_known_and_without_gpu_pods(
    kubelet: Kubelet, known: Known
) -> None:
    await asyncio.sleep(0.05)
    assert kubelet.asked == 0
    kubelet.says({"prod/chat-0": {"nvidia.com/gpu": [GPU]}})
    known.expect(frozenset({"prod/chat-0"}))
    await known.until(lambda: known.known is not None)
    await asyncio.sleep(0.1)
    assert kubelet.asked == 1


async def test_a_kubelet_that_restarts_is_asked_again_and_its_silence_is_told_once(
    kubelet: Kubelet, known: Known
) -> None:
    kubelet.says({"prod/chat-0": {"nvidia.com/gpu": [GPU]}})
    await kubelet.stop()
    with structlog.testing.capture_logs() as logs:
        known.expect(frozenset({"prod/chat-0"}))
        await known.until(lambda: known.asked >= 3)
        assert known.known is None
        assert known.problem is not None
        await (again := Kubelet(kubelet.socket)).start()
        again.answer = kubelet.answer
        await known.until(lambda: known.known == {"prod/chat-0": frozenset({GPU})})
        await again.stop()
    assert [line["log_level"] for line in logs] == ["warning", "info"]


async def test_a_part_of_a_gpu_is_the_gpus_and_is_looked_up_once(kubelet: Kubelet) -> None:
    looked_up: list[str] = []

    def parent_of(device: str) -> str:
        looked_up.append(device)
        return GPU

    kubelet.says({"prod/part-0": {"nvidia.com/mig-1g.10gb": [MIG]}})
    found = Known(kubelet.socket, parent_of)
    await found.look()
    await found.look()
    assert found.known == {"prod/part-0": frozenset({GPU})}
    assert looked_up == [MIG]


async def test_a_device_that_cannot_be_told_leaves_its_pod_unplaced(kubelet: Kubelet) -> None:
    def unknown(device: str) -> str:
        raise HardwareError("no such device")

    kubelet.says({"prod/part-0": {"nvidia.com/gpu": [GPU, MIG]}, "prod/odd-0": {"nvidia.com/gpu": ["7"]}})
    found = Known(kubelet.socket, unknown)
    await found.look()
    assert found.known == {"prod/part-0": None, "prod/odd-0": None}


async def test_ids_that_name_none_of_the_nodes_gpus_leave_their_pod_unplaced(kubelet: Kubelet) -> None:
    kubelet.says(
        {
            "prod/share-0": {"nvidia.com/gpu": [f"{WHOLE}-0"]},
            "prod/bare-0": {"nvidia.com/gpu": [f"{WHOLE.removeprefix('GPU-')}-7"]},
            "prod/sliced-0": {"nvidia.com/gpu.shared": [f"{WHOLE}::2"]},
            "prod/odd-0": {"nvidia.com/gpu": ["GPU-00000000-0000-0000-0000-000000000000-0"]},
            "prod/part-0": {"nvidia.com/mig-1g.10gb": [MIG]},
        }
    )
    found = Known(kubelet.socket, lambda device: WHOLE)
    found.here(frozenset({WHOLE}))
    await found.look()
    here = frozenset({WHOLE})
    assert found.known == {
        "prod/share-0": here,
        "prod/bare-0": here,
        "prod/sliced-0": here,
        "prod/odd-0": None,
        "prod/part-0": here,
    }
    assert found.renumbered == {"prod/share-0", "prod/odd-0"}


async def test_gpus_that_become_known_later_are_told_apart_anew(kubelet: Kubelet, known: Known) -> None:
    kubelet.says({"prod/odd-0": {"nvidia.com/gpu": [GPU]}})
    known.expect(frozenset({"prod/odd-0"}))
    await known.until(lambda: known.known == {"prod/odd-0": frozenset({GPU})})
    known.here(frozenset({WHOLE}))
    await known.until(lambda: known.known == {"prod/odd-0": None})


async def test_the_clusters_own_gpus_are_told_and_amounts_of_one_are_not(kubelet: Kubelet) -> None:
    kubelet.says(
        {
            "prod/amd-0": {"amd.com/gpu": ["0"]},
            "prod/hami-0": {"nvidia.com/gpu": [f"{WHOLE}-0"], "nvidia.com/gpumem": ["m-1", "m-2"]},
        }
    )
    assert await ask(kubelet.socket) == {"prod/hami-0": (f"{WHOLE}-0",)}
    assert await ask(kubelet.socket, "amd.com/gpu") == {
        "prod/amd-0": ("0",),
        "prod/hami-0": (f"{WHOLE}-0",),
    }


DRIVER = "gpu.example.com"
FIRST, SECOND = (ClaimedDevice(DRIVER, "node-0", f"gpu-{index}") for index in range(2))
NIC = ClaimedDevice("dra.net", "node-0", "eth1")


def gpu_slice(driver: str = DRIVER, **devices: Mapping[str, object]) -> Object:
    """A ResourceSlice of one pool, as a driver publishes it."""
    listed = [
        {"name": name.replace("_", "-"), "attributes": attributes} for name, attributes in devices.items()
    ]
    pool = {"name": "node-0", "generation": 1, "resourceSliceCount": 1}
    return {"spec": {"driver": driver, "nodeName": "node-0", "pool": pool, "devices": listed}}


SLICES = (
    gpu_slice(
        gpu_0={"index": {"int": 0}, "uuid": {"string": WHOLE.lower()}},
        gpu_1={"uuid": {"string": "MIG-0f3b"}, "parentUUID": {"string": WHOLE}},
        gpu_2={"index": {"int": 2}},
        gpu_3={f"{DRIVER}/uuid": {"string": WHOLE}},
    ),
    gpu_slice("dra.net", eth1={"dra.net/ifName": {"string": "eth1"}}),
)


async def claimed(kubelet: Kubelet, *devices: ClaimedDevice, **known: Any) -> Known:
    pods: Pods = {"prod/chat-0": {}}
    kubelet.says(pods, {"prod/chat-0": devices})
    found = Known(kubelet.socket, **known)
    found.here(frozenset({WHOLE}))
    await found.look()
    return found


@pytest.mark.parametrize("device", [FIRST, SECOND, ClaimedDevice(DRIVER, "node-0", "gpu-3")])
async def test_a_claimed_gpu_is_the_one_that_its_driver_publishes(
    kubelet: Kubelet, device: ClaimedDevice
) -> None:
    found = await claimed(kubelet, device, NIC, slices=SLICES)
    assert found.known == {"prod/chat-0": frozenset({WHOLE})}
    assert found.of_claims == {"prod/chat-0"}


async def test_a_claim_of_no_gpu_is_of_none(kubelet: Kubelet) -> None:
    assert (await claimed(kubelet, NIC, slices=SLICES)).known == {"prod/chat-0": frozenset()}


@pytest.mark.parametrize(
    "device",
    [
        ClaimedDevice(DRIVER, "node-0", "gpu-2"),
        ClaimedDevice(DRIVER, "node-0", "gpu-9"),
        ClaimedDevice(DRIVER, "another-pool", "gpu-0"),
    ],
)
async def test_a_claimed_gpu_that_cannot_be_told_leaves_its_pod_unplaced(
    kubelet: Kubelet, device: ClaimedDevice
) -> None:
    assert (await claimed(kubelet, FIRST, device, slices=SLICES)).known == {"prod/chat-0": None}


async def test_without_the_right_to_slices_it_is_unplaced_and_told_once(kubelet: Kubelet) -> None:
    with structlog.testing.capture_logs() as logs:
        found = await claimed(kubelet, FIRST)
        for _ in range(3):
            found.now += 100.0
            await found.look()
    assert found.known == {"prod/chat-0": None}
    assert found.slices.asked == 4
    assert [line["event"] for line in logs] == ["devices of claims unknown: all GPUs count as their pods'"]


async def test_slices_are_read_for_a_new_device_and_at_most_once_a_minute(kubelet: Kubelet) -> None:
    found = await claimed(kubelet, FIRST, slices=SLICES)
    await found.look()
    assert found.slices.asked == 1
    kubelet.says({"prod/chat-0": {}}, {"prod/chat-0": [ClaimedDevice(DRIVER, "node-0", "gpu-9")]})
    for _ in range(5):
        await found.look()
    assert found.slices.asked == 1
    found.now += 60.0
    await found.look()
    assert found.slices.asked == 2


RECORDED = json.loads((Path(__file__).parent / "dra-example-driver.json").read_text())
"""What a kubelet and an API server answered about two pods with a claim each."""


async def test_what_the_upstream_example_driver_was_recorded_to_say_places_its_pods(kubelet: Kubelet) -> None:
    published = RECORDED["resourceSlices"][0]["spec"]["devices"]
    uuids = [one["attributes"]["uuid"]["string"].replace("gpu-", "GPU-") for one in published]
    kubelet.answer = base64.b64decode(RECORDED["answer"])
    assert await ask(kubelet.socket) == {
        "default/chat-0": (ClaimedDevice("gpu.example.com", "node-0", "gpu-0"),),
        "default/chat-1": (ClaimedDevice("gpu.example.com", "node-0", "gpu-1"),),
    }
    found = Known(kubelet.socket, slices=RECORDED["resourceSlices"])
    found.here(frozenset(uuids))
    await found.look()
    assert found.known == {
        "default/chat-0": frozenset({uuids[0]}),
        "default/chat-1": frozenset({uuids[1]}),
    }
    assert found.of_claims == found.known.keys()
