"""The agent as a process on a node that has no GPUs, or no driver: alive, ready, and nearly free."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from testbed.doubles.rows import free_ports
from testbed.fakegpu import build
from testbed.fakegpu.board import Board

PATIENCE_S = 30.0


class Idle:
    """One agent whose API server is away."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.port, port = free_ports(2)
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
        flags = {
            "--node": "node-0",
            "--state-dir": directory / "state",
            "--kubeconfig": kubeconfig,
            "--listen": "127.0.0.1",
            "--port": port,
            "--metrics-port": self.port,
        }
        arguments = [str(part) for pair in flags.items() for part in pair]
        self.process = subprocess.Popen(
            (sys.executable, "-m", "loadline_agent.main", "run", *arguments),
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, path: str) -> tuple[int, str]:
        """Status and text; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2.0) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while self.ask("/readyz") != (200, "ready\n"):
            assert time.monotonic() < end_s, self.ask("/readyz")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        stat = Path(f"/proc/{self.process.pid}/schedstat").read_text()
        return int(stat.split()[0]) / 1e9

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return str(said)


KUBECONFIG = {
    "current-context": "away",
    "contexts": [{"name": "away", "context": {"cluster": "away", "user": "nobody"}}],
    "clusters": [{"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
}


@pytest.fixture(params=["no-driver", "no-gpus"])
def idle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Idle]:
    environment: dict[str, str] = {}
    if request.param == "no-gpus":
        Board.create(tmp_path / "board", ("node-0",), gpus_per_node=0)
        environment = build.environment(tmp_path / "board", "node-0")
    made = Idle(tmp_path, environment)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.slow
def test_an_agent_without_gpus_is_alive_and_ready_and_costs_next_to_nothing(idle: Idle) -> None:
    idle.until_ready()
    assert idle.ask("/healthz") == (200, "alive\n")
    assert idle.ask("/metrics")[0] == 200
    before_s, began_s = idle.cpu_s(), time.monotonic()
    time.sleep(2.0)
    assert idle.ask("/readyz")[0] == 200
    assert (idle.cpu_s() - before_s) / (time.monotonic() - began_s) < 0.05
    assert "no GPUs" in idle.stop()
    assert idle.process.returncode == 0
