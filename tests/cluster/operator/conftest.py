"""
The real operator, as its own process under the chart's ServiceAccount and RBAC.

It gets a bed of its own: an operator reacts to everything, so it must not see the
objects with which other tests try the API server.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from loadline_api import names
from testbed import api_callers, charts
from testbed.agent_specs import agent_spec
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.control_planes import CONTROLLERS
from testbed.doubles.operators import LoneOperator, forbidden, own_namespace

NUMBERS = itertools.count()
TENANT = "tenant"
"""A namespace that may have policies of its own."""

MORE_CONTROLLERS = ("horizontal-pod-autoscaler-controller", "resourcequota-controller")

ROW = f"{names.NODE_RESTRICTION_PREFIX}row"
CURVE = [{"percent": 105}, {"percent": 108, "seconds": 60}, {"percent": 130, "seconds": 40}]
WRITTEN = (
    names.INFERENCE_SERVICES.path(),
    names.POWER_DOMAINS.path(),
    f"/apis/coordination.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/leases",
    "/apis/apps/v1/deployments",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/api/v1/serviceaccounts",
    "/api/v1/services",
    "/api/v1/events",
)
"""Collections that the operator writes to."""


class Row:
    """Nodes of one row with the NodeCapacities that their agents would write."""

    def __init__(self, bed: Bed, name: str) -> None:
        self._bed, self.name = bed, name

    def add(self, count: int) -> list[str]:
        """Add nodes, whose agents haven't told anything yet."""
        nodes = [f"{self.name}-{index}" for index in range(count)]
        self._bed.add_nodes(nodes, labels={ROW: self.name})
        return nodes

    def tell(self, nodes: Sequence[str], **status: Any) -> None:
        """Have the agents of these nodes tell of eight GPUs of 100 to 400 W each, and of more."""
        for node in nodes:
            agent = api_callers.caller(self._bed, names.AGENT_ACCOUNT, node=node)
            uid = self._bed.client.get(f"/api/v1/nodes/{node}")["metadata"]["uid"]
            owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}
            head = {"apiVersion": names.API_VERSION, "kind": "NodeCapacity"}
            spec = agent_spec("127.0.0.1:9476")
            made = {**head, "metadata": {"name": node, "ownerReferences": [owner]}, "spec": spec}
            agent.apply(names.NODE_CAPACITIES.path(node), made, manager=names.AGENT_MANAGER)
            gpus = [{"uuid": f"{node}-{i}", "minWatts": 100, "maxWatts": 400} for i in range(8)]
            body = {**head, "metadata": {"name": node}, "status": {"gpus": gpus, **status}}
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
    """A bed with the chart, without agents, and with the controllers that scale and count quotas."""
    with Bed(audit=True, controllers=(*CONTROLLERS, *MORE_CONTROLLERS)) as bed:
        bed.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TENANT}}])
        values = {"agent": {"startupTaint": {"enabled": True}}, "policyNamespaces": [TENANT]}
        bed.apply(charts.control_plane_objects(values))
        bed.add_nodes([f"quay-{index}" for index in range(3)])
        yield bed


@pytest.fixture(scope="package")
def operator(harbour: Bed) -> Iterator[LoneOperator]:
    """The running operator."""
    own = [f"--policy-namespace={name}" for name in (TENANT, "not-there")]
    one = LoneOperator(harbour, "--remove-startup-taint", "--agent-silent-after-seconds=2", *own)
    one.start()
    yield one
    assert one.stop() == 0
    assert forbidden(harbour) == set(), "the chart's rights are exactly what it needs"


@pytest.fixture
def namespace(harbour: Bed) -> Iterator[str]:
    """A namespace of the test's own; what is in it goes with it."""
    with own_namespace(harbour, f"test-{next(NUMBERS)}") as name:
        yield name


@pytest.fixture
def tenant(harbour: Bed) -> Iterator[str]:
    """The namespace that may have policies of its own, without any before and after."""
    yield TENANT
    harbour.kubectl("delete", "llsvc,configmap", "--all", "-n", TENANT, "--wait=false")


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
