"""Who moves replicas: autoscalers of the service, of its Deployments, and of what it is attached to."""

from functools import partial
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.binaries import kubernetes_version
from testbed.cluster.clients import Object
from testbed.doubles.operators import autoscaler, lines_of, says, service, status_of, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

ROUND_S = 60.0
"""HPAs look every 15 s."""


def has(found: Any, **wanted: object) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found


def has_replicas(bed: Bed, namespace: str, name: str, replicas: int) -> None:
    has(spec_of(bed, namespace, name), replicas=replicas)


def spec_of(bed: Bed, namespace: str, name: str = "chat") -> Object:
    return dict(bed.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")["spec"])


def test_an_autoscaler_of_the_service_moves_both_pools_and_its_failure_is_told(
    harbour: Bed, namespace: str
) -> None:
    split: dict[str, Any] = {"prefill": {"perDecode": "1"}, "router": {}}
    harbour.apply([service("chat", namespace=namespace, **split)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    ours = names.API_VERSION, names.INFERENCE_SERVICES.kind
    harbour.apply([autoscaler(namespace, ours, least=2, most=4)])
    for pool in ("chat", "chat-prefill"):
        eventually(partial(has_replicas, harbour, namespace, pool, 2), patience_s=ROUND_S)
    eventually(
        lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="ScalerFailing"),
        patience_s=ROUND_S,
    )
    text = says(harbour, "chat", "ScalingReady", namespace=namespace, status="False")["message"]
    assert text.startswith("HorizontalPodAutoscaler auto: ")
    says(harbour, "chat", "Ready", namespace=namespace, status="True")
    harbour.apply([autoscaler(namespace, ours, least=1, most=1)])
    eventually(lambda: has(spec_of(harbour, namespace), replicas=1), patience_s=ROUND_S)
    harbour.kubectl("delete", "hpa", "auto", "-n", namespace)
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, status="True"))


ZERO_SINCE = (1, 37)
"""Kubernetes from which on an HPA may go to zero unless that is switched off."""


@pytest.mark.skipif(
    tuple(map(int, kubernetes_version().split(".")[:2])) < ZERO_SINCE, reason="no HPA goes to zero here"
)
def test_an_autoscaler_may_go_to_zero_and_a_service_that_it_took_there_says_so(
    harbour: Bed, namespace: str
) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    ours = names.API_VERSION, names.INFERENCE_SERVICES.kind
    one = autoscaler(namespace, ours, least=0, most=4)
    queue = {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}}
    one["spec"]["metrics"] = [{"type": "External", "external": queue}]
    harbour.apply([one])
    eventually(
        lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="ScalerFailing"),
        patience_s=ROUND_S,
    )
    harbour.kubectl("scale", "llsvc/chat", "--replicas=0", "-n", namespace)
    eventually(lambda: has(spec_of(harbour, namespace), replicas=0))
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="ScaledToZero"))


def test_an_autoscaler_of_our_deployment_is_named_and_not_fought(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    harbour.apply([autoscaler(namespace, ("apps/v1", "Deployment"), least=3, most=4)])
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="OtherScaler"))
    eventually(lambda: has(spec_of(harbour, namespace), replicas=3), patience_s=ROUND_S)
    eventually(lambda: has(status_of(harbour, name="chat", namespace=namespace), replicas=3, readyReplicas=3))
    text = says(harbour, "chat", "ScalingReady", namespace=namespace, status="False")["message"]
    assert "set its scaleTargetRef to inferenceservices.loadline.dev/chat" in text
    since = lines_of(harbour)
    harbour.kubectl("scale", "deployment/chat", "--replicas=4", "-n", namespace)
    eventually(lambda: has(status_of(harbour, name="chat", namespace=namespace), replicas=4, readyReplicas=4))
    assert not [path for _, path, _ in written(harbour, since) if "/deployments/" in path]
    harbour.kubectl("delete", "hpa", "auto", "-n", namespace)
    eventually(lambda: has(spec_of(harbour, namespace), replicas=1))
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, status="True"))


def test_somebody_who_scales_without_an_autoscaler_is_named(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/chat/scale"
    harbour.client.patch(path, {"spec": {"replicas": 2}}, fieldManager="keda-like")
    eventually(lambda: says(harbour, "chat", "ScalingReady", namespace=namespace, reason="OtherScaler"))
    text = says(harbour, "chat", "ScalingReady", namespace=namespace, status="False")["message"]
    assert "keda-like scales Deployment chat" in text
    eventually(lambda: has(status_of(harbour, name="chat", namespace=namespace), replicas=2))


def test_an_attached_deployment_follows_the_service_once_replicas_are_set(
    harbour: Bed, namespace: str
) -> None:
    harbour.kubectl("create", "deployment", "theirs", "--image=theirs", "--replicas=2", "-n", namespace)
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    bounds = {"minReplicas": 1, "maxReplicas": 3}
    harbour.apply([service("mine", namespace=namespace, workloadRef=ref, scaling=bounds)])
    eventually(lambda: says(harbour, "mine", "Ready", namespace=namespace, status="True"))
    assert spec_of(harbour, namespace, "theirs")["replicas"] == 2
    assert status_of(harbour, name="mine", namespace=namespace)["selector"] == "app=theirs"
    harbour.kubectl("scale", "llsvc/mine", "--replicas=9", "-n", namespace)
    eventually(lambda: has(spec_of(harbour, namespace, "theirs"), replicas=3))
    eventually(lambda: has(status_of(harbour, name="mine", namespace=namespace), replicas=3, readyReplicas=3))
    since = lines_of(harbour)
    harbour.apply([service("rival", namespace=namespace, workloadRef=ref)])
    for name in ("mine", "rival"):
        eventually(partial(says, harbour, name, "Attached", namespace=namespace, reason="ClaimedTwice"))
    harbour.client.delete(names.INFERENCE_SERVICES.path("rival", namespace=namespace))
    eventually(lambda: says(harbour, "mine", "Attached", namespace=namespace, status="True"))
    assert not [path for _, path, _ in written(harbour, since) if "/deployments/" in path]


def test_why_an_attached_workload_is_not_ready_is_told(harbour: Bed, namespace: str) -> None:
    harbour.kubectl("create", "deployment", "theirs", "--image=theirs", "-n", namespace)
    greedy = {"name": "theirs", "image": "theirs", "resources": {"limits": {"nvidia.com/gpu": "99"}}}
    limits = {"spec": {"template": {"spec": {"containers": [greedy]}}}}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/theirs"
    harbour.client.patch(path, limits)
    harbour.client.patch(path, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}})
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    harbour.apply([service("mine", namespace=namespace, workloadRef=ref)])
    eventually(
        lambda: says(harbour, "mine", "Ready", namespace=namespace, reason="GpuMissing"), patience_s=90.0
    )
    says(harbour, "mine", "CapacityLimited", namespace=namespace, status="True")
