"""
The real operator, as its own process under the chart's ServiceAccount and RBAC.

It gets a bed of its own: an operator reacts to everything, so it must not see the
objects with which other tests try the API server.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from hack import callers, charts
from hack.testenv.bed import Bed
from hack.testenv.clients import Object
from hack.testenv.processes import Process
from loadline_api import names

ROW = f"{names.NODE_RESTRICTION_PREFIX}row"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CURVE = [{"percent": 105}, {"percent": 108, "seconds": 60}, {"percent": 130, "seconds": 40}]
WRITTEN = (
    names.INFERENCE_SERVICES.path(),
    names.POWER_DOMAINS.path(),
    f"/apis/coordination.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/leases",
    "/apis/apps/v1/deployments",
    "/api/v1/services",
    "/api/v1/events",
)
"""Collections that the operator writes to."""


class Operator:
    """The operator's process on a bed, to be stopped and started, with the port that it serves."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._identity = bed.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
        self._runs = 0
        self.process: Process | None = None
        self.url = ""

    def launch(self) -> None:
        """Start the process and learn its port."""
        self._runs += 1
        command = [sys.executable, "-m", "loadline_operator.main", "--metrics-port", "0"]
        command += ["--kubeconfig", str(self._identity.kubeconfig)]
        self.process = self._bed.spawn(f"operator-{self._runs}", command, environment=dict(os.environ))
        self.process.until(lambda: bool(self.logged("the operator listens")), timeout_s=30)
        self.url = f"http://127.0.0.1:{self.logged('the operator listens')[0]['port']}"

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        assert self.process is not None
        self.process.until(lambda: self.readiness()[0] == 200, timeout_s=30)

    def stop(self) -> int:
        """Ask it to end; the exit status."""
        assert self.process is not None
        return self.process.stop()

    def restart(self) -> None:
        """End it and start another."""
        self.stop()
        self.start()

    def readiness(self) -> tuple[int, str]:
        """What a readiness probe sees."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5.0)
        except httpx.TransportError as error:
            return 0, str(error)
        return answer.status_code, answer.text.strip()

    def metric(self, series: str) -> float:
        """The value of one series, written as Prometheus does."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{series} "))

    def journal(self) -> list[dict[str, Any]]:
        """The journal's entries."""
        return [json.loads(line) for line in httpx.get(f"{self.url}/v1/journal").text.splitlines()]

    def logged(self, sentence: str) -> list[dict[str, Any]]:
        """Lines of this run's log with that sentence."""
        assert self.process is not None
        lines = self.process.log.read_text().splitlines() if self.process.log.exists() else []
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [entry for entry in entries if entry["event"] == sentence]


class Row:
    """Nodes of one row with the NodeCapacities that their agents would write."""

    def __init__(self, bed: Bed, name: str) -> None:
        self._bed, self.name = bed, name

    def add(self, count: int) -> list[str]:
        """Add nodes, whose agents haven't told anything yet."""
        nodes = [f"{self.name}-{index}" for index in range(count)]
        self._bed.add_nodes(nodes, labels={ROW: self.name})
        return nodes

    def tell(self, nodes: Sequence[str]) -> None:
        """Have the agents of these nodes tell of eight GPUs of 100 to 400 W each."""
        for node in nodes:
            agent = callers.caller(self._bed, names.AGENT_ACCOUNT, node=node)
            spec = {"certificate": CERTIFICATE, "address": "127.0.0.1:9476"}
            head = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity", "metadata": {"name": node}}
            agent.send("POST", names.NODE_CAPACITIES.path(), {**head, "spec": spec})
            gpus = [{"uuid": f"{node}-{i}", "minWatts": 100, "maxWatts": 400} for i in range(8)]
            body = {**head, "status": {"gpus": gpus}}
            agent.apply_status(names.NODE_CAPACITIES.path(node), body, manager=names.AGENT_MANAGER)
            agent.http.close()

    def domain(self, *, budget: int, name: str = "", **spec: Any) -> Object:
        """The row's domain."""
        whole = {
            "budgetWatts": budget,
            "nodeSelector": {"matchLabels": {ROW: self.name}},
            "hostWatts": {"max": 2600},
            "breaker": {"curve": CURVE},
            **spec,
        }
        head = {"apiVersion": names.API_VERSION, "kind": "PowerDomain"}
        return {**head, "metadata": {"name": name or self.name}, "spec": whole}


@pytest.fixture(scope="package")
def harbour() -> Iterator[Bed]:
    """A bed with the chart, without agents."""
    with Bed(audit=True) as bed:
        bed.apply(charts.control_plane_objects())
        yield bed


@pytest.fixture(scope="package")
def operator(harbour: Bed) -> Iterator[Operator]:
    """The running operator."""
    one = Operator(harbour)
    one.start()
    yield one
    assert one.stop() == 0


@pytest.fixture(scope="package")
def row(harbour: Bed) -> Callable[[str], Row]:
    """Make a row: `row("a")`."""
    return lambda name: Row(harbour, name)


@pytest.fixture(scope="package")
def status(harbour: Bed) -> Callable[[str], dict[str, Any]]:
    """Read the status of a PowerDomain, its conditions by type."""

    def read(domain: str) -> dict[str, Any]:
        found = dict(harbour.client.get(names.POWER_DOMAINS.path(domain)).get("status") or {})
        found["conditions"] = {one["type"]: one for one in found.get("conditions", ())}
        return found

    return read


@pytest.fixture(scope="package")
def versions(harbour: Bed) -> Callable[[], dict[str, str]]:
    """The resourceVersion of every object that the operator may write."""

    def read() -> dict[str, str]:
        items = [(path, one) for path in WRITTEN for one in harbour.client.get(path)["items"]]
        return {f"{path}/{one['metadata']['uid']}": one["metadata"]["resourceVersion"] for path, one in items}

    return read
