"""Which GPUs the kubelet has given to which pod: a real gRPC server on a real socket, its bytes by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from loadline_agent.hardware import nvml
from loadline_agent.workloads import pod_resources
from loadline_agent.workloads.pod_resources import PodResources, Unread, ask, gpu_of
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


def answer(pods: Pods) -> bytes:
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
                ),
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

    def says(self, pods: Pods) -> None:
        self.answer = answer(pods)

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


class Known(PodResources):
    """Pod resources that a test waits for."""

    def __init__(self, socket: Path, parent_of: Callable[[str], str] = nvml.parent_of) -> None:
        self.moved = asyncio.Event()
        super().__init__(socket, self.moved.set, parent_of=parent_of)

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
    with pytest.raises(Unread, match="let the pod mount"):
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


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        (GPU, GPU),
        (f"{GPU}::3", GPU),
        (f"MIG-{GPU}/1/0", GPU),
        (f"MIG-{GPU}/1/0::2", GPU),
        (MIG, None),
        ("0", None),
        ("", None),
        *((f"{WHOLE}{share}", WHOLE) for share in ("", "::3", "-0", "_3", ":2", ".shared-1", "/4")),
    ],
)
def test_a_device_id_tells_its_gpu_where_it_can(device: str, gpu: str | None) -> None:
    assert gpu_of(device) == gpu
