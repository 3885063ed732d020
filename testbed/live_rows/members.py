"""
The nodes' own processes, an agent and its guard each, and the operator's.

On a real node the kubelet starts both containers and restarts the one that died; here
whoever plays the row does. An agent gets its node's bound token, its node of the board by an
unmodified pynvml, and a state directory that outlives it, as a hostPath would.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import httpx

from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile
from loadline_api import names
from testbed.cluster.bed import Bed
from testbed.cluster.processes import Process
from testbed.fakegpu import build
from testbed.live_rows.ports import free_ports

PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV", "PYTHONPATH")
"""Of the owner's environment: whoever runs another checkout by its path has that one's agents played.

No bytecode cache is forbidden, or 52 agents would compile 52 times.
"""

ANSWERS_WITHIN_S = 1.0


class Member:
    """One node's agent and guard. With `journals` the agent keeps its journal in that folder."""

    def __init__(
        self,
        bed: Bed,
        node: str,
        *,
        board_path: Path,
        port: int,
        metrics_port: int,
        journals: Path | None = None,
    ) -> None:
        self.node, self.metrics_port, self._journals = node, metrics_port, journals
        self.state = bed.directory / "state" / node
        self._bed, self._port = bed, port
        self._environment = {**environment(), **build.environment(board_path, node)}
        self._identity = bed.identity(names.AGENT_ACCOUNT, names.SYSTEM_NAMESPACE, node=node)
        armed_records.prepare(str(self.state))
        self._records = ArmedRecordFile(str(self.state), armed_records.boot_id())
        self._agent: Process | None = None
        self._guard: Process | None = None

    def start(self) -> None:
        """Start both; nothing to do for one that runs."""
        if self._guard is None or not self._guard.running:
            guard = ("guard", "--state", str(self.state))
            self._guard = self._spawn(f"guard-{self.node}", guard)
        if self._agent is None or not self._agent.running:
            self._agent = self._spawn(f"agent-{self.node}", ("run", *self._flags()))

    def kill(self) -> None:
        """SIGKILL to the agent; the guard lives on."""
        self.agent.kill()

    def suspend(self) -> None:
        """SIGSTOP to the agent."""
        self.agent.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the agent."""
        self.agent.send(signal.SIGCONT)

    @property
    def agent(self) -> Process:
        """The agent's process, once it was started."""
        assert self._agent is not None, f"the agent of {self.node} was never started"
        return self._agent

    @property
    def guard(self) -> Process:
        """The guard's process, once it was started."""
        assert self._guard is not None, f"the guard of {self.node} was never started"
        return self._guard

    @property
    def processes(self) -> tuple[Process, ...]:
        """What was started last of each."""
        return tuple(one for one in (self._agent, self._guard) if one is not None)

    def unready(self) -> str:
        """What `/readyz` of the agent misses; nothing where it is ready, or where nobody answers."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=ANSWERS_WITHIN_S)
        except httpx.HTTPError:
            return ""
        return "" if answer.status_code == HTTPStatus.OK else answer.text.strip()

    def record(self) -> ArmedRecord:
        """What the node's agent promises; Unreadable if it is torn."""
        return self._records.read()

    def _spawn(self, name: str, arguments: Sequence[str]) -> Process:
        command = [sys.executable, "-m", "loadline_agent.main", *arguments]
        return self._bed.spawn(name, command, environment=self._environment)

    def _flags(self) -> list[str]:
        flags: dict[str, object] = {
            "--node": self.node,
            "--state-dir": self.state,
            "--kubeconfig": self._identity.kubeconfig,
            "--listen": "127.0.0.1",
            "--port": self._port,
            "--metrics-port": self.metrics_port,
        }
        if self._journals is not None:
            flags["--journal"] = self._journals / f"{self.node}.jsonl"
            flags["--journal-observations"] = "true"
        return [str(part) for pair in flags.items() for part in pair]


def members(
    bed: Bed, nodes: Sequence[str], board_path: Path, *, journals: Path | None = None
) -> dict[str, Member]:
    """A member for each node, none started yet; `journals` is a folder for their journals."""
    ports = iter(free_ports(2 * len(nodes)))
    return {
        node: Member(
            bed,
            node,
            board_path=board_path,
            port=next(ports),
            metrics_port=next(ports),
            journals=journals,
        )
        for node in nodes
    }


def operator(bed: Bed) -> Process:
    """The operator, under the account that the chart gives it."""
    identity = bed.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
    command = [sys.executable, "-m", "loadline_operator.main", "--metrics-port", "0"]
    command += ["--kubeconfig", str(identity.kubeconfig)]
    return bed.spawn("operator", command, environment=environment())


def environment() -> Mapping[str, str]:
    """What a process of the row sees of its owner's environment."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
