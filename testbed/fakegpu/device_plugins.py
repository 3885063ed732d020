"""
The device plugin of the fake GPUs: what makes a kubelet offer `nvidia.com/gpu`.

    python -m testbed.fakegpu.device_plugins --board FOLDER/board --node node-0

It registers with the kubelet, lists a node's GPUs of a board by their UUIDs, and tells a
container that gets some which they are (`NVIDIA_VISIBLE_DEVICES`) and where it finds the
fake NVML: the board's folder, with the library in it, is mounted at /run/fakegpu. A GPU
that falls off its bus turns unhealthy. A kubelet that restarts forgets its plugins and
empties their folder; so the plugin looks for its own socket, and registers anew.
"""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from testbed.fakegpu.board import Board
from testbed.fakegpu.build import SONAME, mounted_environment
from testbed.fakegpu.container_runtime import MOUNTED_AT
from testbed.fakegpu.layouts import FAULT_LOST
from testbed.fakegpu.wire import VERSION, messages

RESOURCE = "nvidia.com/gpu"
FOLDER = Path("/var/lib/kubelet/device-plugins")
ENDPOINT = "fakegpu.sock"
EVERY_S = 0.5
"""Chosen: the pace at which sockets and GPUs are looked at."""


class DevicePlugin:
    """The service that a kubelet calls."""

    def __init__(self, board: Board, node: str) -> None:
        self._board, self._node = board, node
        self._index = board.node_names.index(node)

    async def options(self, stream: Stream[Any, Any]) -> None:
        """GetDevicePluginOptions: none."""
        await stream.recv_message()
        await stream.send_message(messages.DevicePluginOptions())

    async def list_and_watch(self, stream: Stream[Any, Any]) -> None:
        """ListAndWatch: all GPUs, and again whenever the health of one has changed."""
        await stream.recv_message()
        told: list[tuple[str, str]] | None = None
        while True:
            if told != (devices := self.devices()):
                told = devices
                listed = [messages.Device(ID=uuid, health=health) for uuid, health in devices]
                await stream.send_message(messages.ListAndWatchResponse(devices=listed))
            await asyncio.sleep(EVERY_S)

    async def allocate(self, stream: Stream[Any, Any]) -> None:
        """Allocate: what each container that gets GPUs sees of them."""
        request = await stream.recv_message()
        assert request is not None
        answers = [self._granted(list(asked.devices_ids)) for asked in request.container_requests]
        await stream.send_message(messages.AllocateResponse(container_responses=answers))

    def devices(self) -> list[tuple[str, str]]:
        """UUID and health of each GPU."""
        lost = (self._board.gpus["faults"][self._index] & FAULT_LOST).astype(bool)
        health = ("Unhealthy" if gone else "Healthy" for gone in lost.tolist())
        return list(zip(self._board.uuids(self._index), health, strict=True))

    def _granted(self, uuids: list[str]) -> Any:
        seen = {
            "NVIDIA_VISIBLE_DEVICES": ",".join(uuids),
            **mounted_environment(Path(MOUNTED_AT), self._node),
        }
        mount = messages.Mount(container_path=MOUNTED_AT, host_path=str(self._board.path.parent))
        envs = [messages.Entry(key=key, value=value) for key, value in seen.items()]
        return messages.ContainerAllocateResponse(envs=envs, mounts=[mount])

    def __mapping__(self) -> dict[str, Handler]:
        """The calls by path, as grpclib asks for them."""
        one, many = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
        m, service = messages, f"/{VERSION}.DevicePlugin"
        return {
            f"{service}/GetDevicePluginOptions": Handler(self.options, one, m.Empty, m.DevicePluginOptions),
            f"{service}/ListAndWatch": Handler(self.list_and_watch, many, m.Empty, m.ListAndWatchResponse),
            f"{service}/Allocate": Handler(self.allocate, one, m.AllocateRequest, m.AllocateResponse),
        }


async def serve(plugin: DevicePlugin, folder: Path) -> None:
    """Serve until cancelled, anew for each kubelet that comes up."""
    while True:
        server = Server([plugin])
        await server.start(path=str(folder / ENDPOINT))
        try:
            await register(folder)
            await _until_gone(folder / ENDPOINT)
        except (OSError, GRPCError):  # no kubelet there, or one that is just ending
            await asyncio.sleep(EVERY_S)
        finally:
            server.close()
            await server.wait_closed()


async def register(folder: Path) -> None:
    """Tell the kubelet of the plugin; raises OSError when there is none, GRPCError when it refuses."""
    channel = Channel(path=str(folder / "kubelet.sock"))
    try:
        call = UnaryUnaryMethod[Any, Any](
            channel, f"/{VERSION}.Registration/Register", messages.RegisterRequest, messages.Empty
        )
        await call(messages.RegisterRequest(version=VERSION, endpoint=ENDPOINT, resource_name=RESOURCE))
    finally:
        channel.close()


async def _until_gone(path: Path) -> None:
    """Return once a kubelet that came up has removed the socket; nobody tells, so it is looked for."""
    while path.exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(EVERY_S)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Offer a board's GPUs to the kubelet of a node.")
    parser.add_argument("--board", type=Path, required=True, help="the board's file, in a folder of its own")
    parser.add_argument("--node", required=True, help="the node's name on the board")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the kubelet's device-plugins folder")
    given = parser.parse_args()
    if not os.path.exists(given.board.with_name(SONAME)):
        parser.error(f"{given.board.parent} holds no {SONAME}: put the compiled library beside the board")
    with Board.open(given.board) as board:
        asyncio.run(serve(DevicePlugin(board, given.node), given.folder))


if __name__ == "__main__":
    main()
