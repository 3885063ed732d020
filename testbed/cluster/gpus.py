"""
Fake GPUs on a real node: their board, their device plugin, their RuntimeClass.

A pod gets them as on any cluster: by asking for `nvidia.com/gpu`, and then it sees those
it was given; or by the RuntimeClass `nvidia` and `NVIDIA_VISIBLE_DEVICES=all`, as an agent
does, and then it sees all of them. Either way pynvml in the container finds the fake NVML.
"""

import json
import shutil
import sys
from pathlib import Path

from testbed.cluster.clients import Client, Object
from testbed.cluster.machines import Machine
from testbed.cluster.nodes import GPU_RESOURCE
from testbed.fakegpu import build
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.container_runtime import MOUNTED_AT

ROOT = Path(__file__).parents[2]
OFFERED_S = 30.0
RUNTIME_CLASS = "nvidia"


class Gpus:
    """The fake GPUs of a node; `board` is the hand of a test on them."""

    def __init__(
        self, machine: Machine, client: Client, *, directory: Path, count: int, spec: GpuSpec
    ) -> None:
        self._machine, self._client, self._count = machine, client, count
        self.directory = directory / "gpus"
        self.directory.mkdir()
        shutil.copyfile(build.library(), self.directory / build.SONAME)
        self.board = Board.create(self.directory / "board", [machine.name], gpus_per_node=count, spec=spec)
        (self.directory / "environment.json").write_text(json.dumps(self.environment))

    @property
    def environment(self) -> dict[str, str]:
        """What a container needs beside the mount; only for pods with neither request nor RuntimeClass."""
        return build.mounted_environment(Path(MOUNTED_AT), self._machine.name)

    @property
    def volume(self) -> Object:
        """The volume of such a pod."""
        return {"name": "fakegpu", "hostPath": {"path": str(self.directory), "type": "Directory"}}

    @property
    def mount(self) -> Object:
        return {"name": "fakegpu", "mountPath": MOUNTED_AT}

    def offer(self) -> None:
        """Start the device plugin; return when the scheduler is offered all GPUs."""
        runtime_class = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": RUNTIME_CLASS}
        self._client.apply([{**runtime_class, "metadata": {"name": RUNTIME_CLASS}}])
        command = [sys.executable, "-m", "testbed.fakegpu.device_plugins", "--node", self._machine.name]
        plugin = self._machine.start(
            "device-plugin",
            [*command, "--board", str(self.directory / "board")],
            environment={"PYTHONPATH": str(ROOT)},
        )
        plugin.until(lambda: self.allocatable() == self._count, timeout_s=OFFERED_S)

    def allocatable(self) -> int:
        """How many GPUs the scheduler is offered now."""
        status = self._client.get(f"/api/v1/nodes/{self._machine.name}")["status"]
        return int(status["allocatable"].get(GPU_RESOURCE, 0))
