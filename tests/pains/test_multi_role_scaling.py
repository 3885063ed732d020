"""Two pools, one budget of GPUs: both move in one step; what doesn't fit ends nothing and sticks nowhere."""

from functools import partial
from typing import Any

import pytest

from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, pods_of, says, service, status_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

ENGINES = ("main", "prefill")
FOUR = {"tensor": 4}
"""GPUs of a replica: six of them fit on the three nodes."""

PATIENCE_S = 60.0
"""A ReplicaSet that a quota refused tries again after a pause that grows."""


def split(namespace: str, *, decode: int, **prefill: Any) -> Object:
    return service("chat", namespace=namespace, replicas=decode, prefill=prefill, router={}, parallelism=FOUR)


def engines(bed: Bed, namespace: str) -> list[Object]:
    return pods_of(bed, name="chat", namespace=namespace, pools=ENGINES)


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def ready(status: Object) -> dict[str, int]:
    """Ready replicas by pool of engines."""
    return {one["name"]: one.get("readyReplicas", 0) for one in status["pools"] if one["name"] in ENGINES}


def is_settled(bed: Bed, namespace: str, *, main: int, prefill: int) -> None:
    """As many as asked for are ready, and nothing else waits."""
    says(bed, "chat", "Ready", namespace=namespace, status="True")
    says(bed, "chat", "CapacityLimited", namespace=namespace, status="False")
    assert ready(status_of(bed, name="chat", namespace=namespace)) == {"main": main, "prefill": prefill}
    assert len(engines(bed, namespace)) == main + prefill


def test_both_pools_move_in_one_step(pier: Bed, operator: LoneOperator, namespace: str) -> None:
    pier.apply([split(namespace, decode=1, perDecode="1")])
    eventually(partial(is_settled, pier, namespace, main=1, prefill=1))
    known = len(operator.journal())
    pier.kubectl("scale", "llsvc/chat", "--replicas=2", "-n", namespace)
    eventually(partial(is_settled, pier, namespace, main=2, prefill=2))
    steps = [one["decision"] for one in operator.journal()[known:] if one["name"] == f"{namespace}/chat"]
    moves = [[act for act in step if "Deployment" in act] for step in steps]
    assert [one for one in moves if one] == [["applied Deployment chat", "applied Deployment chat-prefill"]]


def test_asking_for_more_than_there_is_costs_nothing_that_serves(pier: Bed, namespace: str) -> None:
    pier.apply([split(namespace, decode=2, perDecode="1")])
    eventually(partial(is_settled, pier, namespace, main=2, prefill=2))
    before = uids(engines(pier, namespace))
    pier.kubectl("scale", "llsvc/chat", "--replicas=8", "-n", namespace)
    eventually(lambda: says(pier, "chat", "CapacityLimited", namespace=namespace, reason="GpuMissing"))
    assert min(ready(status_of(pier, name="chat", namespace=namespace)).values()) >= 2
    assert before <= uids(engines(pier, namespace))
    pier.kubectl("scale", "llsvc/chat", "--replicas=3", "-n", namespace)
    eventually(partial(is_settled, pier, namespace, main=3, prefill=3), patience_s=PATIENCE_S)


def test_a_rebalance_at_the_budget_comes_to_its_end(pier: Bed, namespace: str) -> None:
    head = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus", "namespace": namespace}}
    pier.apply([{**head, "spec": {"hard": {"requests.nvidia.com/gpu": "24"}}}])
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/gpus"
    eventually(lambda: is_used(pier.client.get(path), 0))
    pier.apply([split(namespace, decode=2, replicas=4)])
    eventually(partial(is_settled, pier, namespace, main=2, prefill=4))
    eventually(lambda: is_used(pier.client.get(path), 24))
    pier.apply([split(namespace, decode=4, replicas=2)])
    eventually(partial(is_settled, pier, namespace, main=4, prefill=2), patience_s=PATIENCE_S)
    assert gpus_of(engines(pier, namespace)) == 24


def gpus_of(pods: list[Object]) -> int:
    """What pods ask for. The quota's own count may be of an older list, until its resync after minutes."""
    containers = [one for pod in pods for one in pod["spec"]["containers"]]
    return sum(int(one["resources"].get("requests", {}).get("nvidia.com/gpu", 0)) for one in containers)


def is_used(quota: Object, gpus: int) -> None:
    assert quota.get("status", {}).get("used") == {"requests.nvidia.com/gpu": str(gpus)}
