"""The chart on a real API server, and callers with the chart's own accounts."""

from collections.abc import Callable, Iterator

import pytest

from loadline_api import names
from testbed import api_callers, charts
from testbed.api_callers import Caller
from testbed.cluster.bed import Bed

NODES = ("berth-0", "berth-1", "berth-2")


@pytest.fixture(scope="session")
def charted(bed: Bed) -> Bed:
    """The bed with the chart's objects and three nodes."""
    bed.apply(charts.control_plane_objects())
    bed.add_nodes(NODES)
    return bed


@pytest.fixture(scope="session")
def caller(charted: Bed) -> Iterator[Callable[..., Caller]]:
    """Make a caller: `caller(account, node=…)`, in the system namespace unless told otherwise."""
    made: list[Caller] = []

    def make(account: str, *, node: str | None = None, namespace: str = names.SYSTEM_NAMESPACE) -> Caller:
        made.append(api_callers.caller(charted, account, node=node, namespace=namespace))
        return made[-1]

    yield make
    for one in made:
        one.http.close()


@pytest.fixture(scope="session")
def agents(caller: Callable[..., Caller]) -> list[Caller]:
    """The agents of the three nodes."""
    return [caller(names.AGENT_ACCOUNT, node=node) for node in NODES]


@pytest.fixture(scope="session")
def operator(caller: Callable[..., Caller]) -> Caller:
    """The operator."""
    return caller(names.OPERATOR_ACCOUNT)


@pytest.fixture(scope="session")
def admin(charted: Bed, caller: Callable[..., Caller]) -> Caller:
    """A ServiceAccount bound to cluster-admin."""
    charted.apply(api_callers.bound_account("captain", "cluster-admin"))
    return caller("captain", namespace="default")


@pytest.fixture(scope="session")
def tenant(charted: Bed, caller: Callable[..., Caller]) -> Caller:
    """A tenant who may write services and, by somebody's mistake, any Lease, but no domain."""
    rules = [
        {"apiGroups": [names.GROUP], "resources": ["inferenceservices"], "verbs": ["create", "update"]},
        {"apiGroups": [names.LEASES.group], "resources": ["leases"], "verbs": ["create", "update", "delete"]},
    ]
    role = {
        "apiVersion": f"{api_callers.RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tenant"},
        "rules": rules,
    }
    charted.apply([role, *api_callers.bound_account("tenant", "tenant")])
    return caller("tenant", namespace="default")
