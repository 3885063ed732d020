"""
The agent's settings: command line flags and environment variables.

`Settings` lists them all: a field is `--state-dir` on the command line and
LOADLINE_STATE_DIR in the environment; the flag wins. Everything that may change
while the agent runs comes from the API server instead, and everything about leases
from the coordinator. The defaults are those of the chart's DaemonSet.
"""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadline_api.names import (
    AGENT_METRICS_PORT,
    AGENT_PORT,
    GPU_RESOURCE,
    STATE_DIRECTORY,
    SYSTEM_NAMESPACE,
)
from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of

PREFIX = "LOADLINE_"


class Settings(BaseModel):
    """The settings of one agent. It publishes `address` to its peers, and listens on `listen`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=253,
        description="Name of the Kubernetes Node. Default: the host name.",
    )
    state_dir: Path = Field(
        default=Path(STATE_DIRECTORY),
        description="Directory for the agent's key, certificate and checkpoints, and the armed record that"
        " the guard reads.",
    )
    kubeconfig: Path | None = Field(
        default=None, description="Kubeconfig of the agent. Default: the pod's ServiceAccount."
    )
    namespace: str = Field(
        default=SYSTEM_NAMESPACE,
        min_length=1,
        description="Namespace of the domains' Leases and of power policies.",
    )
    policy_namespaces: str = Field(
        default="",
        description="Namespaces, separated by commas, whose services may have policies of their own for the"
        " loops in engines. Default: none.",
    )
    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address at which other agents reach this one."
    )
    listen: str = Field(default="", description="Address to listen on. Default: all addresses of the host.")
    port: int = Field(
        default=AGENT_PORT,
        ge=1,
        le=65535,
        description="Port for reports and leases between the agents of a power domain (mutual TLS).",
    )
    metrics_port: int = Field(
        default=AGENT_METRICS_PORT,
        ge=0,
        le=65535,
        description="Port for metrics, health and journal (plain HTTP); 0 chooses a free port.",
    )
    workers_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for the plugins in this node's engines (plain HTTP, with their pods' tokens);"
        " 0 chooses a free port. Default: none.",
    )
    pod_resources: Path = Field(
        default=Path("/var/lib/kubelet/pod-resources/kubelet.sock"),
        description="The kubelet's pod-resources socket, where the agent reads which pod has which GPU.",
    )
    gpu_resource: str = Field(
        default=GPU_RESOURCE,
        min_length=1,
        max_length=512,
        description="Extended resource by which pods request GPUs, in addition to those of nvidia.com.",
    )
    journal: Path | None = Field(
        default=None, description="File to which the agent also writes its journal. Default: none."
    )
    journal_mib: int = Field(
        default=32,
        ge=2,
        le=65536,
        description="MiB that the journal's file and the one before it (FILE.1) may have together.",
    )
    journal_observations: bool = Field(
        default=False,
        description="true or false: whether a coordinator also writes the lowest and the highest load of each"
        " second into the journal's file, on which `loadline simulate --from-journal` replays policies.",
    )
    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="Lowest level that is logged: debug, info, warning or error.",
    )

    @property
    def own_policies(self) -> frozenset[str]:
        """The namespaces of `policy_namespaces`."""
        return frozenset(filter(None, (one.strip() for one in self.policy_namespaces.split(","))))

    @property
    def address(self) -> str:
        """Where peers reach this node: host:port, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] = os.environ,
    prog: str = "loadline-agent run",
) -> Settings:
    """Parse the command line and the environment; InvalidInput names the flag of an invalid value."""
    given = {name: environ[_variable(name)] for name in Settings.model_fields if environ.get(_variable(name))}
    given |= {
        name: value for name, value in vars(_parser(prog).parse_args(arguments)).items() if value is not None
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise InvalidInput(f"{_flag(name)} ({_variable(name)})", first["input"], fix=fix_of(first)) from error


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure this node's GPUs, report to the coordinator of its power domain, and set the GPU"
        " limits that the coordinator leases to it.",
        epilog="Every flag has an environment variable; that of --state-dir is LOADLINE_STATE_DIR.",
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(_flag(name), dest=name, metavar=name.upper(), help=field.description)
    return parser


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
