"""
Engines as processes of this machine: one alone, or prefill and decode with the router before them.

No cluster is needed to see a split with real KV, and what fails here fails faster and
with its own log. Each engine gets a port and a side channel of its own.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from testbed.cluster.processes import Household, Process
from testbed.engines.venvs import ENVIRONMENT, Venv

NAME = "tiny"
START_S = 420.0
"""One engine alone starts in half a minute; two beside a busy test run take three."""

ANSWER_S = 120.0
TRANSFER = {"kv_connector": "NixlConnector", "kv_buffer_device": "cpu"}


class Server:
    """Something that answers with vLLM's API, and the process behind it."""

    def __init__(self, process: Process, port: int, *, ready: str) -> None:
        self.process, self.url, self._ready = process, f"http://127.0.0.1:{port}", ready
        self._client = httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False)

    def close(self) -> None:
        """Let go of the connections; the process is its household's."""
        self._client.close()

    def wait(self) -> None:
        """Return once it answers that it is ready; raises ProcessFailed."""
        self.process.until(self._is_ready, timeout_s=START_S, every_s=0.25)

    def complete(self, prompt: str, *, tokens: int = 16) -> str:
        body = {"model": NAME, "prompt": prompt, "max_tokens": tokens, "temperature": 0.0}
        answer = self._client.post("/v1/completions", json=body)
        answer.raise_for_status()
        return str(answer.json()["choices"][0]["text"])

    def metrics(self) -> str:
        """All that it tells Prometheus."""
        return self._client.get("/metrics").raise_for_status().text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have these labels; KeyError when there is none."""
        found = [float(line.rsplit(" ", 1)[1]) for line in self._series(name, labels)]
        if not found:
            raise KeyError(f"{self.url} has no {name} with {labels}")
        return sum(found)

    def _series(self, name: str, labels: Mapping[str, str]) -> list[str]:
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = (line for line in self.metrics().splitlines() if line.split("{")[0].split(" ")[0] == name)
        return [line for line in lines if all(one in line for one in wanted)]

    def _is_ready(self) -> bool:
        try:
            return self._client.get(self._ready).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


class Engines:
    """Real engines on this machine; a context manager that leaves no process."""

    def __init__(self, venv: Venv, model: Path, *, plugins: Path | None = None) -> None:
        self._venv, self._model = venv, model
        self._household = Household()
        self._servers: list[Server] = []
        self._environment = {**os.environ, **ENVIRONMENT, "HOME": str(self._household.directory)}
        self._environment.pop("VIRTUAL_ENV", None)
        if plugins:
            self._environment["PYTHONPATH"] = str(plugins)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        self._household.__exit__(kind)

    def start(self, name: str, *arguments: str, role: str | None = None, **environment: str) -> Server:
        """Start an engine, and don't wait for it; with a role it exchanges KV by NIXL."""
        port, side = free_ports(2)
        command = self._venv.serve(self._model, "--served-model-name", NAME, "--host", "127.0.0.1")
        command += ["--port", str(port), "--max-model-len", "2048", *arguments]
        own = {**self._environment, **environment}
        if role is not None:
            command += ["--kv-transfer-config", json.dumps({**TRANSFER, "kv_role": role})]
            own |= {"VLLM_NIXL_SIDE_CHANNEL_HOST": "127.0.0.1", "VLLM_NIXL_SIDE_CHANNEL_PORT": str(side)}
        process = self._household.start(name, command, environment=own, grace_s=15.0)
        return self._server(process, port, ready="/health")

    def split(self) -> tuple[Server, Server, Server]:
        """A prefill engine, a decode engine and the router before them, all ready."""
        prefill = self.start("prefill", role="kv_producer")
        decode = self.start("decode", role="kv_consumer")
        prefill.wait()
        decode.wait()
        (port, metrics) = free_ports(2)
        command = [str(self._venv.router), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--prometheus-port", str(metrics), "--vllm-pd-disaggregation", "--kv-connector", "nixl"]
        command += ["--prefill", prefill.url, "--decode", decode.url, "--policy", "round_robin"]
        process = self._household.start("router", command, environment=self._environment)
        router = self._server(process, port, ready="/readiness")
        router.wait()
        return prefill, decode, router

    def _server(self, process: Process, port: int, *, ready: str) -> Server:
        server = Server(process, port, ready=ready)
        self._servers.append(server)
        return server


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has now; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
