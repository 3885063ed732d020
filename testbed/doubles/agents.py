"""
An agent without an API server: what it would be told there stands in a file.

The domain loop is worth testing, and measuring, without a control plane around it.
`FileDeclarations` and `FileElection` are the agent's own interfaces over one JSON
file, the row, which the test rewrites as it goes: who leads, which budget, Observe
or Enforce. `python -m testbed.doubles.agents ROW NODE STATE_DIR METRICS_PORT` runs one
node of it, with the GPUs that its environment shows it; `Row` writes the file.
"""

import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loadline_agent.agent import AgentParts, NodeAgent
from loadline_agent.boot_clock import boottime
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.tls_identity import Identity
from loadline_agent.hardware import armed_records
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.kube.object_parsers import drill_of
from loadline_agent.locks import exclusive
from loadline_agent.settings import Settings
from loadline_api.journals import Component, Journal
from loadline_policies.documents import parse_power
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.drill_states import DrillOrder
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating, Timings

POLICY = """
schema: policies.loadline.dev/v1alpha1
loop: power
policy: polca
settings:
  threshold1Percent: 90
  threshold2Percent: 95
  hysteresisPercent: 2
  actuationMillis: 500
  brakeHoldSeconds: 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All that the agents of a row are told.

    `nodes` maps to (address, PEM certificate), `gpus` to UUIDs, whose range is `gpu_watts`. `name` is the
    domain's, `gone` that of one of which the API server says that it is gone.
    """

    nodes: dict[str, tuple[str, str]]
    candidates: tuple[str, ...]
    holder: str = ""
    transitions: int = 1
    renews: bool = True
    enforce: bool = True
    budget_watts: float = 10_000.0
    host_idle_watts: float = 500.0
    host_max_watts: float = 500.0
    lease_s: float = 2.0
    raise_within_s: float = 4.0
    curve: tuple[tuple[float, float], ...] = Curve().points
    policy: str = POLICY
    gpus: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gpu_watts: tuple[float, float] = (100.0, 400.0)
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    priorities: dict[str, int] = field(default_factory=dict)
    drill: str | None = None
    name: str = "row"
    gone: str | None = None

    def write(self, path: Path) -> "Row":
        """Put the row where its agents look, in one step of the file system."""
        draft = path.with_suffix(".draft")
        names = self.__dataclass_fields__
        draft.write_text(json.dumps({name: getattr(self, name) for name in names}))
        draft.replace(path)
        return self

    def changed(self, path: Path, **changes: Any) -> "Row":
        """The row with other values, written."""
        return replace(self, **changes).write(path)

    @classmethod
    def read(cls, path: Path) -> "Row":
        content = json.loads(path.read_text())
        content["curve"] = tuple((load, seconds) for load, seconds in content["curve"])
        return cls(**content)


class RowFile:
    """The row as it is in the file now, the same object until that is rewritten."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp = path, -1
        self._row: Row | None = None

    @property
    def row(self) -> Row:
        stamp = self._path.stat().st_mtime_ns
        if self._row is None or stamp != self._stamp:
            self._row, self._stamp = Row.read(self._path), stamp
        return self._row


class FileDeclarations:
    """`ports.Declarations` over a row's file. `relists` counts knocks of strangers."""

    def __init__(self, file: RowFile, node: str) -> None:
        self.relists = 0
        self._file, self._node = file, node
        self._of: Row | None = None
        self._peers: dict[str, Peer] = {}
        self._certificates: Mapping[bytes, str] = {}
        self._domain: Domain | None = None
        self._drill_text: str | None = None
        self._drill: DrillOrder | None = None

    def keep(self, armed_for: Callable[[], str | None]) -> None:
        """There is one domain."""

    def home(self) -> Home | None:
        """Where the node belongs: to the row, if it is listed."""
        row = self._row()
        return Home(
            domain=row.name if self._node in row.nodes else None,
            host_idle_watts=row.host_idle_watts,
            host_max_watts=row.host_max_watts,
            enforced=row.enforce,
            gone=row.gone,
        )

    def candidates(self, domain: str) -> tuple[Peer, ...]:
        row = self._row()
        return tuple(self._peers[node] for node in row.candidates)

    @property
    def certificates(self) -> Mapping[bytes, str]:
        self._row()
        return self._certificates

    def node_of(self, certificate: bytes) -> str | None:
        return self.certificates.get(certificate)

    async def relist(self) -> None:
        """Count; the file is always looked at anyway."""
        self.relists += 1

    def lead(self) -> None:
        """Nothing more to follow."""

    def stop_leading(self) -> None:
        """Nothing was followed."""

    def domain(self) -> Domain | None:
        self._row()
        return self._domain

    def _row(self) -> Row:
        row = self._file.row
        if row is not self._of:
            self._of = row
            self._peers = {
                node: Peer(node, address, ssl.PEM_cert_to_DER_cert(pem))
                for node, (address, pem) in row.nodes.items()
            }
            self._certificates = {peer.certificate: node for node, peer in self._peers.items()}
            if row.drill != self._drill_text:
                self._drill_text = row.drill
                self._drill = drill_of(row.drill, wall_s=time.time(), now=boottime()) if row.drill else None
            self._domain = replace(domain_of(row), drill=self._drill)
        return row


class FileElection:
    """`ports.Election` over a row's file: whoever it names, renewed whenever asked."""

    def __init__(self, file: RowFile, node: str, *, clock: Callable[[], float]) -> None:
        self._file, self._node, self._clock = file, node, clock
        self._renewed_sent_s = clock()
        self._resigned: Epoch | None = None

    @property
    def epoch(self) -> Epoch | None:
        """The epoch in the file, if it is this node's."""
        row = self._file.row
        epoch = Epoch(row.transitions, "lease-of-the-row")
        return epoch if row.holder == self._node and epoch != self._resigned else None

    @property
    def renewed_sent_s(self) -> float:
        """Now, as long as the file says that renewals work."""
        if self._file.row.renews:
            self._renewed_sent_s = self._clock()
        return self._renewed_sent_s

    @property
    def holder(self) -> str:
        """Whom the file names."""
        return self._file.row.holder

    @property
    def others(self) -> int:
        """Nobody: whom the file names is the only one."""
        return 0

    async def resign(self, rest_s: float = 0.0) -> None:
        """Lead no more in this epoch."""
        self._resigned = self.epoch


@dataclass(frozen=True, slots=True)
class FixedOwners:
    """The same services on every GPU."""

    services: tuple[str, ...] = ()

    def owners(self, uuid: str) -> tuple[str, ...]:
        """All of them."""
        return self.services


def domain_of(row: Row) -> Domain:
    """The row as its coordinator sees it."""
    return Domain(
        name=row.name,
        budget_watts=row.budget_watts,
        members=frozenset(row.nodes),
        document=parse_power(row.policy),
        enforce=row.enforce,
        curve=Curve(points=row.curve),
        timings=Timings(lease_s=row.lease_s, raise_within_s=row.raise_within_s),
        ratings={
            node: NodeRating(
                node=node,
                host_max_watts=row.host_max_watts,
                gpus=tuple(GpuRating(uuid, *row.gpu_watts) for uuid in uuids),
            )
            for node, uuids in row.gpus.items()
        },
        services={name: ServiceTerms(priority=priority) for name, priority in row.priorities.items()},
    )


async def run(row_path: Path, node: str, *, state_dir: Path, metrics_port: int) -> None:
    """One agent until SIGTERM."""
    file = RowFile(row_path)
    address = file.row.nodes[node][0]
    settings = Settings(
        node=node,
        state_dir=state_dir,
        listen="127.0.0.1",
        port=int(address.rpartition(":")[2]),
        metrics_port=metrics_port,
    )
    node_gpus = NodeGpus.open(state_dir, boottime)
    agent = NodeAgent(
        AgentParts(
            settings=settings,
            identity=Identity.load_or_create(state_dir, node=node, address=address),
            declarations=FileDeclarations(file, node),
            owners=FixedOwners(tuple(file.row.owners.get(node, ()))),
            node_gpus=node_gpus,
            journal=Journal(Component.AGENT, node=node, wall=time.time),
            clock=boottime,
        )
    )
    agent.leadership.election = FileElection(file, node, clock=boottime)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await agent.run(stop)


def main(arguments: list[str]) -> int:
    """Run `ROW NODE STATE_DIR METRICS_PORT`."""
    row, node, state_dir, metrics_port = arguments
    armed_records.prepare(state_dir)
    with exclusive(Path(state_dir)):
        asyncio.run(run(Path(row), node, state_dir=Path(state_dir), metrics_port=int(metrics_port)))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LOADLINE_NVML_PRIVILEGE", "1")
    sys.exit(main(sys.argv[1:]))
