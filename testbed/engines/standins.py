"""Stand-ins as processes of this machine, started as a pod would start them."""

import os
import sys
from dataclasses import dataclass
from typing import Any

import httpx

from testbed.cluster.processes import Household, Process
from testbed.engines.processes import NAME, free_ports
from testbed.engines.venvs import ROOT

START_S = 10.0
"""A tenth of a second is usual; a busy machine is not a failure."""

ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Standin:
    """A stand-in and how to speak to it."""

    process: Process
    url: str

    def get(self, path: str) -> httpx.Response:
        """What it answers to a GET."""
        return httpx.get(f"{self.url}{path}", timeout=ANSWER_S, trust_env=False)

    def ask(self, prompt: str = "hello", **body: Any) -> httpx.Response:
        """What it answers to a completion's request."""
        document = {"model": NAME, "prompt": prompt, **body}
        return httpx.post(f"{self.url}/v1/completions", json=document, timeout=ANSWER_S, trust_env=False)

    def complete(self, prompt: str = "hello", **body: Any) -> str:
        """The completion's text."""
        return str(self.ask(prompt, **body).raise_for_status().json()["choices"][0]["text"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = (line for line in self.get("/metrics").text.splitlines() if line.startswith(f"{name}{{"))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(one in line for one in wanted))

    def wait(self) -> None:
        """Return once it listens, ready or not; raises ProcessFailed."""
        self.process.until(self._listens, timeout_s=START_S, every_s=0.02)

    def _listens(self) -> bool:
        try:
            return bool(self.get("/version"))
        except httpx.TransportError:
            return False


def start(
    household: Household,
    *arguments: str,
    told: dict[str, object] | None = None,
    side: int | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Standin:
    """Start a stand-in, and don't wait for it.

    `told` are its `STANDIN_*`; `side` is the port at which others ask for its KV. Any
    address of 127.0.0.0/8 is a host of its own, as pods have theirs.
    """
    port = port or free_ports(1)[0]
    command = [sys.executable, "-m", "testbed.engines.standin", "serve", "/models/tiny"]
    command += ["--served-model-name", NAME, "--host", host, "--port", str(port), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment |= {f"STANDIN_{name.upper()}": str(value) for name, value in (told or {}).items()}
    if side is not None:
        environment |= {"VLLM_NIXL_SIDE_CHANNEL_HOST": host, "VLLM_NIXL_SIDE_CHANNEL_PORT": str(side)}
    process = household.start(f"standin-{host}-{port}", command, environment=environment)
    return Standin(process, f"http://{host}:{port}")
