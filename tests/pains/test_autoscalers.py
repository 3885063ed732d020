"""Autoscalers with their hands on one service: two of them at once, and one that sees no metrics."""

import time
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.doubles.operators import autoscaler, says, service, status_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

SERVICE = (names.API_VERSION, names.INFERENCE_SERVICES.kind)
DEPLOYMENT = ("apps/v1", "Deployment")

PATIENCE_S = 60.0
LOOKS_S = 6.0
"""Autoscalers of a bed look every 2 s, so a fight would show three times."""


def of_deployments(bed: Bed, namespace: str, key: str) -> dict[str, Any]:
    """`replicas` of the spec or `generation`, which counts all changes of it, by Deployment."""
    found = bed.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    return {one["metadata"]["name"]: {**one["spec"], **one["metadata"]}[key] for one in found}


def changes(bed: Bed, namespace: str) -> dict[str, Any]:
    """How often the spec of the service and those of its Deployments have been changed so far."""
    own = bed.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))["metadata"]["generation"]
    return {"the service": own, **of_deployments(bed, namespace, "generation")}


def has(found: Any, **wanted: object) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found


def test_two_autoscalers_of_one_service_do_not_fight(pier: Bed, namespace: str) -> None:
    split: dict[str, Any] = {"prefill": {"perDecode": "1"}, "router": {}}
    pier.apply([service("chat", namespace=namespace, **split)])
    eventually(lambda: says(pier, "chat", "Ready", namespace=namespace, status="True"))
    pier.apply([autoscaler(namespace, SERVICE, name="ours", least=2, most=4)])
    pools = {"chat": 2, "chat-prefill": 2}
    eventually(lambda: has(of_deployments(pier, namespace, "replicas"), **pools), patience_s=PATIENCE_S)
    pier.apply([autoscaler(namespace, DEPLOYMENT, name="theirs", least=3, most=4)])
    eventually(
        lambda: has(status_of(pier, name="chat", namespace=namespace), readyReplicas=3), patience_s=PATIENCE_S
    )
    before = changes(pier, namespace)
    time.sleep(LOOKS_S)
    assert changes(pier, namespace) == before
    has(of_deployments(pier, namespace, "replicas"), **{"chat": 3, "chat-prefill": 2})
    text = says(pier, "chat", "ScalingReady", namespace=namespace, reason="OtherScaler")["message"]
    assert "HorizontalPodAutoscaler theirs scales Deployment chat" in text
    pier.kubectl("delete", "hpa", "theirs", "-n", namespace)
    eventually(lambda: has(of_deployments(pier, namespace, "replicas"), chat=2))


def test_an_autoscaler_that_sees_no_metrics_moves_nothing_and_is_told(pier: Bed, namespace: str) -> None:
    pier.apply([service("chat", namespace=namespace, replicas=3)])
    eventually(lambda: says(pier, "chat", "Ready", namespace=namespace, status="True"))
    before = changes(pier, namespace)
    pier.apply([autoscaler(namespace, SERVICE, name="blind", least=1, most=5)])
    eventually(
        lambda: says(pier, "chat", "ScalingReady", namespace=namespace, reason="ScalerFailing"),
        patience_s=PATIENCE_S,
    )
    time.sleep(LOOKS_S)
    assert changes(pier, namespace) == before
    has(of_deployments(pier, namespace, "replicas"), chat=3)
    says(pier, "chat", "Ready", namespace=namespace, status="True")
