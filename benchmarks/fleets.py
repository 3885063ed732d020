"""
Many services on a test bed: applied, edited, counted, and what the audit log tells of them.

All in one namespace. An edit here changes a Deployment and moves no pod, so that what is
measured is the operator and not the scheduler. Delays are by the API server's own clock.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from loadline_api import names
from testbed.cluster.bed import Bed
from testbed.doubles.operators import USER, service

NAMESPACE = "fleet"
SPLIT_EVERY = 5
"""Each fifth service has a prefill pool and a router."""

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
OWNED = (
    DEPLOYMENTS,
    f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
    f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    f"/api/v1/namespaces/{NAMESPACE}/services",
)


def declare(bed: Bed, count: int) -> list[str]:
    """Nodes with a GPU for every replica, and all services; their names."""
    bed.add_nodes([f"node-{index:02}" for index in range(1 + count // 4)])
    bed.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    split: dict[str, Any] = {"prefill": {"perDecode": "1"}, "router": {}}
    fleet = [f"service-{index:03}" for index in range(count)]
    bed.apply(
        service(name, namespace=NAMESPACE, **({} if index % SPLIT_EVERY else split))
        for index, name in enumerate(fleet)
    )
    return fleet


def ready(bed: Bed) -> int:
    """How many services say that they are Ready."""
    found = bed.client.get(names.INFERENCE_SERVICES.path(namespace=NAMESPACE))["items"]
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for one in found
        for condition in one.get("status", {}).get("conditions", ())
    )


def surge(bed: Bed, name: str, *, pods: int) -> None:
    """Edit one service."""
    path = names.INFERENCE_SERVICES.path(name, namespace=NAMESPACE)
    bed.client.patch(path, {"spec": {"rolloutStrategy": {"maxSurge": pods}}})


def surges(bed: Bed) -> set[object]:
    """What the main pools' Deployments have of such edits."""
    selector = f"{names.POOL_LABEL}={names.MAIN_POOL}"
    found = bed.client.get(DEPLOYMENTS, labelSelector=selector)["items"]
    return {one["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for one in found}


def owned(bed: Bed) -> set[str]:
    """Every object that belongs to a service, by path."""
    return {
        f"{path}/{one['metadata']['name']}"
        for path in OWNED
        for one in bed.client.get(path, labelSelector=names.SERVICE_LABEL)["items"]
    }


def pods(bed: Bed) -> set[str]:
    """Every pod, by uid."""
    found = bed.client.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    return {one["metadata"]["uid"] for one in found}


def delays_s(lines: Sequence[str]) -> list[float]:
    """Of each edit in these lines of an audit log: from its answer to the patch of its Deployment."""
    edited: dict[str, datetime] = {}
    delays: list[float] = []
    for entry in map(json.loads, lines):
        about = entry.get("objectRef") or {}
        if entry["verb"] != "patch" or about.get("namespace") != NAMESPACE or about.get("subresource"):
            continue
        name, ours = about["name"], entry["user"]["username"] == USER
        if about["resource"] == names.INFERENCE_SERVICES.plural and not ours:
            edited[name] = datetime.fromisoformat(entry["stageTimestamp"])
        elif about["resource"] == "deployments" and ours and name in edited:
            received = datetime.fromisoformat(entry["requestReceivedTimestamp"])
            delays.append((received - edited.pop(name)).total_seconds())
    return delays
