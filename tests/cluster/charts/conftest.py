"""
The real helm on beds of its own: a release owns objects that all clusters have once.

A test that installs gets a bed for itself, since what it leaves behind is what the next
one would stumble over.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demos.serving.helms import Helm
from loadline_api import names
from testbed import api_callers
from testbed.api_callers import Caller
from testbed.chart_hooks import Hooks
from testbed.charts import CHART
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

OLD = Path(__file__).parent / "old" / "loadline-0.1.0.tgz"
NODES = ("pier-0", "pier-1")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def new() -> str:
    """The chart as it is now."""
    return str(CHART)


@pytest.fixture(scope="session")
def old() -> str:
    """The first chart."""
    return str(OLD)


@pytest.fixture
def quay() -> Iterator[Bed]:
    """A bed without Loadline, with two nodes."""
    with Bed() as bed:
        bed.add_nodes(NODES)
        yield bed


@pytest.fixture
def helm(quay: Bed) -> Helm:
    """helm on it."""
    return Helm(quay)


@pytest.fixture
def hooks(quay: Bed) -> Iterator[Hooks]:
    """Hooks run there."""
    with Hooks(quay) as hooks:
        yield hooks


@pytest.fixture
def definition(quay: Bed) -> Callable[[str], Object]:
    """Read a CustomResourceDefinition: `definition("powerdomains")`."""
    return lambda plural: quay.client.get(f"{DEFINITIONS}/{plural}.{names.GROUP}")


@pytest.fixture
def fields(definition: Callable[[str], Object]) -> Callable[[str], set[str]]:
    """The fields of a kind's spec as the API server knows them."""

    def read(plural: str) -> set[str]:
        (version,) = definition(plural)["spec"]["versions"]
        return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])

    return read


@pytest.fixture
def row(quay: Bed) -> Callable[..., Object]:
    """Declare a power domain: `row(mode="Enforce")`."""

    def declare(**spec: Any) -> Object:
        declared = {
            "budgetWatts": 40_000,
            "nodeSelector": {"matchLabels": {"row": "a"}},
            "hostWatts": {"max": 2600},
            **spec,
        }
        head = {"apiVersion": names.API_VERSION, "kind": "PowerDomain", "metadata": {"name": "row-a"}}
        (made,) = quay.apply([{**head, "spec": declared}])
        return made

    return declare


@pytest.fixture
def tell(quay: Bed) -> Iterator[Callable[..., None]]:
    """Have a node's agent tell whether it enforces: `tell("pier-0", True, domain="row-a")`."""
    agents: dict[str, Caller] = {}

    def write(node: str, enforcing: bool, **status: Any) -> None:
        head = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity", "metadata": {"name": node}}
        if node not in agents:
            agents[node] = api_callers.caller(quay, names.AGENT_ACCOUNT, node=node)
            spec = {"certificate": CERTIFICATE, "address": "127.0.0.1:9476"}
            agents[node].send("POST", names.NODE_CAPACITIES.path(), body={**head, "spec": spec})
        told = {
            "type": "Enforcing",
            "status": str(enforcing),
            "reason": "ModeEnforce" if enforcing else "ModeObserve",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        body = {**head, "status": {**status, "conditions": [told]}}
        agents[node].apply_status(names.NODE_CAPACITIES.path(node), body, manager=names.AGENT_MANAGER)

    yield write
    for agent in agents.values():
        agent.http.close()


@pytest.fixture
def service(quay: Bed) -> Callable[[], Object]:
    """Declare an InferenceService, with experts and a KV cache as the first chart had them."""

    def declare() -> Object:
        head = {"apiVersion": names.API_VERSION, "kind": "InferenceService"}
        metadata = {"name": "chat", "namespace": "default"}
        policy = {"policyRef": {"name": "careful"}}
        spec = {"model": {"uri": "hf://a/b"}, "experts": policy, "kvCache": policy}
        (made,) = quay.apply([{**head, "metadata": metadata, "spec": spec}])
        return made

    return declare


@pytest.fixture
def released(quay: Bed) -> Callable[..., list[str]]:
    """Names of the release's objects of these kinds: `released("clusterroles", "jobs")`."""

    def read(*kinds: str) -> list[str]:
        told = quay.kubectl(
            "get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/name=loadline", "-o", "name"
        )
        return [line.split("/")[1] for line in told.splitlines()]

    return read
