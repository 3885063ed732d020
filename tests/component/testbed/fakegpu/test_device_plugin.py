"""The device plugin, asked as a kubelet asks: it registers, lists, grants, and comes back after a restart."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from testbed.fakegpu.board import Board
from testbed.fakegpu.container_runtime import MOUNTED_AT
from testbed.fakegpu.device_plugins import ENDPOINT, RESOURCE, DevicePlugin, serve
from testbed.fakegpu.wire import VERSION, messages

SERVICE = f"/{VERSION}.DevicePlugin"


class Kubelet:
    """The kubelet's half: a registry that empties the folder when it comes up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registered: asyncio.Queue[Any] = asyncio.Queue()
        self._server = Server([self])

    async def start(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self._server = Server([self])
        await self._server.start(path=str(self.folder / "kubelet.sock"))

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def register(self, stream: Stream[Any, Any]) -> None:
        await self.registered.put(await stream.recv_message())
        await stream.send_message(messages.Empty())

    def __mapping__(self) -> dict[str, Handler]:
        one = Cardinality.UNARY_UNARY
        path = f"/{VERSION}.Registration/Register"
        return {path: Handler(self.register, one, messages.RegisterRequest, messages.Empty)}


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Board.create(tmp_path / "board", ["node-0", "node-1"], gpus_per_node=4) as board:
        yield board


@pytest.fixture
async def kubelet(tmp_path: Path, board: Board) -> AsyncIterator[Kubelet]:
    """A kubelet with which the plugin of node-1 has registered."""
    folder = tmp_path / "device-plugins"
    folder.mkdir()
    kubelet = Kubelet(folder)
    await kubelet.start()
    task = asyncio.create_task(serve(DevicePlugin(board, "node-1"), folder))
    yield kubelet
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await kubelet.stop()


@pytest.fixture
async def channel(kubelet: Kubelet) -> AsyncIterator[Channel]:
    await asyncio.wait_for(kubelet.registered.get(), 10)
    channel = Channel(path=str(kubelet.folder / ENDPOINT))
    yield channel
    channel.close()


def listed(answer: Any) -> dict[str, str]:
    return {device.ID: device.health for device in answer.devices}


async def test_it_registers_under_the_name_of_the_resource(kubelet: Kubelet) -> None:
    request = await asyncio.wait_for(kubelet.registered.get(), 10)
    assert (request.version, request.endpoint, request.resource_name) == (VERSION, ENDPOINT, RESOURCE)


async def test_it_lists_its_nodes_gpus_and_again_when_one_is_lost(channel: Channel, board: Board) -> None:
    method = UnaryStreamMethod[Any, Any](
        channel, f"{SERVICE}/ListAndWatch", messages.Empty, messages.ListAndWatchResponse
    )
    async with method.open() as stream:
        await stream.send_message(messages.Empty(), end=True)
        assert listed(await stream.recv_message()) == dict.fromkeys(board.uuids(1), "Healthy")
        board.lose(1, 2)
        answer = listed(await stream.recv_message())
        assert [uuid for uuid, health in answer.items() if health == "Unhealthy"] == [board.uuids(1)[2]]
        board.heal(1, 2)
        assert set(listed(await stream.recv_message()).values()) == {"Healthy"}
        await stream.cancel()


async def test_each_container_is_told_its_own_gpus(channel: Channel, board: Board) -> None:
    wanted = [list(board.uuids(1)[:1]), list(board.uuids(1)[1:3])]
    request = messages.AllocateRequest(
        container_requests=[messages.ContainerAllocateRequest(devices_ids=ids) for ids in wanted]
    )
    call = UnaryUnaryMethod[Any, Any](
        channel, f"{SERVICE}/Allocate", messages.AllocateRequest, messages.AllocateResponse
    )
    answers = (await call(request)).container_responses
    seen = [{entry.key: entry.value for entry in answer.envs} for answer in answers]
    assert [one["NVIDIA_VISIBLE_DEVICES"].split(",") for one in seen] == wanted
    assert {one["LOADLINE_FAKEGPU_NODE"] for one in seen} == {"node-1"}
    assert {one["LD_LIBRARY_PATH"] for one in seen} == {MOUNTED_AT}
    mounts = {(mount.container_path, mount.host_path) for answer in answers for mount in answer.mounts}
    assert mounts == {(MOUNTED_AT, str(board.path.parent))}


async def test_it_asks_for_nothing_special(channel: Channel) -> None:
    call = UnaryUnaryMethod[Any, Any](
        channel, f"{SERVICE}/GetDevicePluginOptions", messages.Empty, messages.DevicePluginOptions
    )
    assert (await call(messages.Empty())) == messages.DevicePluginOptions()


async def test_it_registers_anew_with_a_kubelet_that_was_restarted(kubelet: Kubelet) -> None:
    await asyncio.wait_for(kubelet.registered.get(), 10)
    await kubelet.stop()
    await kubelet.start()
    again = await asyncio.wait_for(kubelet.registered.get(), 10)
    assert again.endpoint == ENDPOINT
    assert (kubelet.folder / ENDPOINT).is_socket()
