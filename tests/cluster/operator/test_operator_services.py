"""An InferenceService becomes what its spec says and stays so, whoever else has a hand in it."""

from functools import partial
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError
from testbed.doubles.operators import LoneOperator, pods_of, says, service, status_of

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

SPLIT: dict[str, Any] = {"prefill": {"perDecode": "0.5"}, "router": {}}


def deployment(bed: Bed, name: str, namespace: str) -> Object:
    return bed.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")


def deployments(bed: Bed, namespace: str) -> dict[str, int]:
    found = bed.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    return {one["metadata"]["name"]: one["spec"]["replicas"] for one in found}


def owned(bed: Bed, namespace: str) -> list[str]:
    """Everything in the namespace that belongs to a service."""
    collections = [
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        f"/apis/apps/v1/namespaces/{namespace}/replicasets",
        f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
        f"/api/v1/namespaces/{namespace}/serviceaccounts",
        f"/api/v1/namespaces/{namespace}/services",
        f"/api/v1/namespaces/{namespace}/pods",
    ]
    return [
        f"{path.rsplit('/', 1)[1]}/{one['metadata']['name']}"
        for path in collections
        for one in bed.client.get(path, labelSelector=names.SERVICE_LABEL)["items"]
    ]


def is_ready(bed: Bed, name: str, namespace: str, **counts: int) -> None:
    says(bed, name, "Ready", namespace=namespace, status="True", reason="AsDeclared")
    status = status_of(bed, name=name, namespace=namespace)
    assert {key: status.get(key) for key in counts} == counts, status


def has(found: Object, **wanted: object) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found


def has_deployments(bed: Bed, namespace: str, **wanted: int) -> None:
    has(deployments(bed, namespace), **wanted)


def test_a_manifest_becomes_ready_pods(harbour: Bed, namespace: str) -> None:
    spread = {"tensor": 4, "pipeline": 2}
    harbour.apply([service("chat", namespace=namespace, replicas=2, parallelism=spread)])
    eventually(lambda: is_ready(harbour, "chat", namespace, replicas=2, readyReplicas=2))
    pods = pods_of(harbour, name="chat", namespace=namespace)
    assert len(pods) == 2
    (engine,) = pods[0]["spec"]["containers"]
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "8"
    front = harbour.client.get(f"/api/v1/namespaces/{namespace}/services/chat")
    assert front["spec"]["ports"][0]["port"] == 8000
    status = status_of(harbour, name="chat", namespace=namespace)
    assert status["url"] == f"http://chat.{namespace}.svc:8000"
    assert status["pools"] == [{"name": "main", "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}]


def test_a_queue_finds_the_workload_and_moves_no_pod(harbour: Bed, namespace: str) -> None:
    queue = "kueue.x-k8s.io/queue-name"

    def queued(name: str) -> None:
        for one in ("chat", "chat-prefill", "chat-router"):
            found = deployment(harbour, one, namespace)
            assert found["metadata"]["labels"].get(queue, "") == name, one
            assert queue not in found["spec"]["template"]["metadata"]["labels"]

    harbour.apply([service("chat", namespace=namespace, **SPLIT)])
    eventually(lambda: queued(""))
    for label, name in ((f"{queue}=team-a", "team-a"), (f"{queue}=team-b", "team-b"), (f"{queue}-", "")):
        harbour.kubectl("label", "llsvc/chat", label, "--overwrite", "-n", namespace)
        eventually(lambda name=name: queued(name))  # type: ignore[misc]
    sets = harbour.client.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
    assert len(sets) == 3, "no pod was made anew"


def test_scale_moves_both_pools_and_is_told(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, **SPLIT)])
    for replicas, prefill in ((1, 1), (2, 1), (1, 1), (0, 0), (1, 1), (4, 2)):
        harbour.kubectl("scale", "llsvc/chat", f"--replicas={replicas}", "-n", namespace)
        wanted = {"chat": replicas, "chat-prefill": prefill, "chat-router": 1}
        eventually(partial(has_deployments, harbour, namespace, **wanted))
        if replicas:
            counts = {"replicas": replicas, "readyReplicas": replicas}
            eventually(partial(is_ready, harbour, "chat", namespace, **counts))
            says(harbour, "chat", "RouterReady", namespace=namespace, status="True")
            continue
        eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="ScaledToZero"))
        says(harbour, "chat", "WorkloadsReady", namespace=namespace, status="True")
        says(harbour, "chat", "RouterReady", namespace=namespace, reason="ScaledToZero")
    scale = harbour.client.get(
        names.INFERENCE_SERVICES.path("chat", namespace=namespace, subresource="scale")
    )
    selector = "loadline.dev/pool=main,loadline.dev/service=chat"
    assert scale["status"] == {"replicas": 4, "selector": selector}


def test_the_template_reaches_the_pods(harbour: Bed, namespace: str) -> None:
    container = {"name": "vllm", "image": "mine:2", "resources": {"limits": {"cpu": "1000m"}}}
    template = {"spec": {"containers": [container]}}
    harbour.apply([service("chat", namespace=namespace, template=template)])
    eventually(lambda: is_ready(harbour, "chat", namespace))
    (made,) = deployment(harbour, "chat", namespace)["spec"]["template"]["spec"]["containers"]
    assert made["image"] == "mine:2"
    assert made["resources"]["limits"] == {"cpu": "1", "nvidia.com/gpu": "1"}


def test_a_template_that_is_refused_leaves_the_last_good_one_running(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: is_ready(harbour, "chat", namespace))
    (before,) = pods_of(harbour, name="chat", namespace=namespace)
    wrong = {"spec": {"restartPolicy": "Sometimes"}}
    harbour.apply([service("chat", namespace=namespace, template=wrong)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="TemplateRefused"))
    text = says(harbour, "chat", "Ready", namespace=namespace, status="False")["message"]
    assert "restartPolicy" in text
    assert "the workloads created before continue: 1 of 1 replicas are ready" in text
    (after,) = pods_of(harbour, name="chat", namespace=namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    harbour.apply([service("chat", namespace=namespace, template={"spec": {"restartPolicy": "Always"}})])
    eventually(lambda: is_ready(harbour, "chat", namespace))


def test_what_somebody_changes_is_put_right(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: is_ready(harbour, "chat", namespace))
    harbour.kubectl("scale", "deployment/chat", "--replicas=2", "-n", namespace)
    eventually(lambda: has(deployments(harbour, namespace), chat=1))
    harbour.kubectl("label", "deployment/chat", f"{names.SERVICE_LABEL}-", "-n", namespace)
    eventually(lambda: has(deployment(harbour, "chat", namespace)["metadata"]["labels"], **LABEL))
    harbour.kubectl("delete", "service", "chat", "-n", namespace)
    eventually(lambda: harbour.client.get(f"/api/v1/namespaces/{namespace}/services/chat"))


LABEL = {names.SERVICE_LABEL: "chat"}


def test_objects_of_somebody_else_are_left_alone(harbour: Bed, namespace: str) -> None:
    harbour.kubectl("create", "deployment", "chat", "--image=theirs", "-n", namespace)
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, reason="NameTaken"))
    text = says(harbour, "chat", "Ready", namespace=namespace, status="False")["message"]
    assert "Deployment chat exists, and Loadline did not create it: rename it" in text
    found = deployment(harbour, "chat", namespace)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs"
    assert "ownerReferences" not in found["metadata"]


def test_what_the_spec_no_longer_wants_is_removed(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, replicas=2, **SPLIT)])
    eventually(lambda: is_ready(harbour, "chat", namespace))
    assert deployments(harbour, namespace) == {"chat": 2, "chat-prefill": 1, "chat-router": 1}
    harbour.apply([service("chat", namespace=namespace, replicas=2)])
    eventually(lambda: has({"are": deployments(harbour, namespace)}, are={"chat": 2}))
    eventually(lambda: is_ready(harbour, "chat", namespace, replicas=2))
    status = status_of(harbour, name="chat", namespace=namespace)
    assert [one["name"] for one in status["pools"]] == ["main"]
    assert "RouterReady" not in status["conditions"]
    eventually(lambda: only(harbour, namespace, "chat"))


def only(bed: Bed, namespace: str, name: str) -> None:
    assert {one.partition("/")[2].partition("-")[0] for one in owned(bed, namespace)} == {name}
    assert not [one for one in owned(bed, namespace) if "prefill" in one or "router" in one]


def test_what_belongs_to_a_service_goes_with_it(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, **SPLIT)])
    eventually(lambda: is_ready(harbour, "chat", namespace))
    path = names.INFERENCE_SERVICES.path("chat", namespace=namespace)
    metadata = harbour.client.get(path)["metadata"]
    assert "finalizers" not in metadata
    assert not [key for key in metadata.get("annotations", {}) if "kopf" in key]
    harbour.client.delete(path)
    eventually(lambda: has({"left": owned(harbour, namespace)}, left=[]), patience_s=60.0)


def test_a_namesake_takes_the_place_of_a_deleted_service(harbour: Bed, namespace: str) -> None:
    for _ in range(2):
        harbour.apply([service("chat", namespace=namespace)])
        eventually(lambda: is_ready(harbour, "chat", namespace), patience_s=60.0)
        harbour.client.delete(names.INFERENCE_SERVICES.path("chat", namespace=namespace))


def test_a_namespace_can_be_deleted_while_the_operator_is_away(harbour: Bed, operator: LoneOperator) -> None:
    harbour.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}}])
    harbour.apply([service("chat", namespace="short", **SPLIT)])
    eventually(lambda: is_ready(harbour, "chat", "short"))
    operator.stop()
    harbour.client.delete("/api/v1/namespaces/short")
    eventually(lambda: is_gone(harbour, "/api/v1/namespaces/short"), patience_s=60.0)
    operator.start()
    assert not operator.logged("a reconcile failed and will be tried again")


def is_gone(bed: Bed, path: str) -> None:
    try:
        found = bed.client.get(path)
    except ApiError as error:
        assert error.code == 404
        return
    raise AssertionError(f"still there: {found.get('status')}")
