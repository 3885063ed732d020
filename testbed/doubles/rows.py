"""
A row of lone agents on a fake board: processes, files and ports, and nothing left behind.

What a test of the domain loop needs around its statement: nodes that come up, a row
file to rewrite, GPUs to look at, processes to stop or kill. Waiting is on what the
board says, with a bound, never for a time.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from loadline_agent.domain.tls_identity import Identity
from testbed.cluster.waits import GaveUp, wait_for
from testbed.doubles.agents import Row
from testbed.fakegpu import build
from testbed.fakegpu.board import Board, GpuSpec

PATIENCE_S = 30.0
"""How long a machine under load may take for what takes a second."""


class LoneRow:
    """`count` nodes of 8 GPUs in `directory`; the first one leads. Use it as a context manager.

    Nodes that are `bare` have a driver, and see no GPU by it. `spec` is what all GPUs are; a range that
    isn't the usual one is to be `told` too, as `gpu_watts`.
    """

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        *,
        bare: Sequence[str] = (),
        spec: GpuSpec | None = None,
        **told: Any,
    ) -> None:
        self.directory, self.bare = directory, bare
        self.nodes = tuple(f"node-{index}" for index in range(count))
        self.board = Board.create(directory / "board", self.nodes, spec=spec or GpuSpec())
        self.board.set_sensors(watts=200.0)
        ports = free_ports(2 * count)
        self.metrics_ports = dict(zip(self.nodes, ports[:count], strict=True))
        addresses = [f"127.0.0.1:{port}" for port in ports[count:]]
        self.identities = {
            node: Identity.load_or_create(self.state(node), node=node, address=address)
            for node, address in zip(self.nodes, addresses, strict=True)
        }
        nodes = {node: (one.address, one.pem) for node, one in self.identities.items()}
        gpus = {node: self.board.uuids(index) for index, node in enumerate(self.nodes) if node not in bare}
        given = {"budget_watts": 3500.0 * count, "holder": self.nodes[0], "gpus": gpus, **told}
        self.row = Row(nodes=nodes, candidates=self.nodes, **given).write(self.file)
        self.agents: dict[str, subprocess.Popen[bytes]] = {}
        self.guards: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def file(self) -> Path:
        return self.directory / "row.json"

    def __enter__(self) -> "LoneRow":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.agents.values(), *self.guards.values()):
            process.kill()
            process.wait()
        self.board.close()

    def state(self, node: str) -> Path:
        """A node's state directory."""
        return self.directory / node

    def tell(self, **changes: Any) -> None:
        """Rewrite the row."""
        self.row = self.row.changed(self.file, **changes)

    def start(self, nodes: Sequence[str] = ()) -> None:
        """Start agents, of all nodes unless told."""
        for node in nodes or self.nodes:
            if node in self.agents:
                self.agents[node].wait(PATIENCE_S)
            arguments = (str(self.file), node, str(self.state(node)), str(self.metrics_ports[node]))
            self.agents[node] = self._python(node, "testbed.doubles.agents", *arguments)

    def guard(self, node: str) -> None:
        """Start a node's guard."""
        self.guards[node] = self._python(
            node, "loadline_agent.main", "guard", "--state", str(self.state(node))
        )

    def release(self, node: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """`loadline-agent release` on a node."""
        state = str(self.state(node))
        command = (sys.executable, "-m", "loadline_agent.main", "release", "--state", state, *options)
        return subprocess.run(
            command, env=self._environment(node), capture_output=True, text=True, check=False
        )

    def signal(self, node: str, number: signal.Signals) -> None:
        """Send a signal to a node's agent."""
        self.agents[node].send_signal(number)

    def limits(self, node: str) -> list[float]:
        """Limits in force on a node, in watts."""
        return list(map(float, self.board.enforced_watts()[self.nodes.index(node)]))

    def clocks(self, node: str) -> list[int]:
        """Locked clocks on a node, 0 where none is."""
        return list(map(int, self.board.locked_mhz()[self.nodes.index(node)]))

    def draw(self, watts: float, node: str | None = None) -> None:
        """Let all GPUs, or those of one node, draw so much."""
        if node is None:
            self.board.set_sensors(watts=watts)
        else:
            self.board.gpus["instant_mw"][self.nodes.index(node)] = round(watts * 1000)

    def metric(self, node: str, series: str) -> float | None:
        """One series of a node's metrics, None while there is none or nobody answers."""
        try:
            text = self.ask(node, "/metrics")
        except OSError:
            return None
        found = (line.rpartition(" ") for line in text.splitlines())
        return next((float(value) for name, _, value in found if name == series), None)

    def ask(self, node: str, path: str) -> str:
        """The plain door of a node's agent."""
        url = f"http://127.0.0.1:{self.metrics_ports[node]}{path}"
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return str(response.read().decode())

    def enforced(self, nodes: Sequence[str] = ()) -> bool:
        """Whether these nodes, or all, hold a lease that enforces."""
        return all(self.metric(node, "loadline_power_armed") == 1.0 for node in nodes or self.nodes)

    def wait(self, so: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
        """Seconds until something is so; AssertionError if that takes too long."""
        began_s = time.monotonic()
        try:
            wait_for(lambda: so() or None, "it is so", standstill_s=within_s, every_s=0.01)
        except GaveUp as error:
            raise AssertionError(str(error)) from error
        return time.monotonic() - began_s

    def _python(self, node: str, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen((sys.executable, "-m", module, *arguments), env=self._environment(node))

    def _environment(self, node: str) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        gpus = build.environment(self.directory / "board", node)
        gpus |= {"NVIDIA_VISIBLE_DEVICES": "GPU-of-another-node"} if node in self.bare else {}
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        return {**os.environ, **gpus, "LOADLINE_NVML_PRIVILEGE": "1", "PYTHONPATH": search}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
