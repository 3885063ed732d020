"""An InferenceService becomes a Deployment and a Service, and its status tells how they are."""

from collections.abc import Callable
from typing import Any

import pytest

from hack.callers import eventually
from hack.testenv.bed import Bed
from hack.testenv.clients import Object
from loadline_api import names

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

NAMESPACE = "default"


def service(name: str, **spec: Any) -> Object:
    whole = {"model": {"uri": "hf://org/llm"}, **spec}
    head = {"apiVersion": names.API_VERSION, "kind": "InferenceService"}
    return {**head, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": whole}


@pytest.fixture(scope="module", autouse=True)
def nodes(harbour: Bed) -> None:
    harbour.add_nodes([f"quay-{index}" for index in range(3)])


@pytest.fixture
def ready(harbour: Bed) -> Callable[[str], Object]:
    """The service's Ready condition with the counts beside it."""

    def read(name: str) -> Object:
        status = harbour.client.get(names.INFERENCE_SERVICES.path(name, NAMESPACE)).get("status", {})
        conditions = {one["type"]: one for one in status.get("conditions", ())}
        counts = {key: status.get(key) for key in ("replicas", "readyReplicas", "observedGeneration")}
        return {**counts, **conditions.get("Ready", {})}

    return read


def deployment(bed: Bed, name: str) -> Object:
    return bed.client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")


def test_a_manifest_becomes_ready_pods(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.apply([service("chat", replicas=2, parallelism={"tensor": 4, "pipeline": 2})])
    eventually(lambda: _is(ready("chat"), status="True", replicas=2, readyReplicas=2))
    pods = harbour.client.get(
        f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="loadline.dev/service=chat"
    )
    assert len(pods["items"]) == 2
    limits = pods["items"][0]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": "8"}
    front = harbour.client.get(f"/api/v1/namespaces/{NAMESPACE}/services/chat")
    assert front["spec"]["ports"][0]["port"] == 8000


def test_scale_moves_the_pods_and_is_told(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.apply([service("scaled")])
    eventually(lambda: _is(ready("scaled"), status="True", replicas=1))
    harbour.kubectl("scale", "llsvc/scaled", "--replicas=3", "-n", NAMESPACE)
    eventually(lambda: _is(ready("scaled"), status="True", replicas=3, readyReplicas=3, observedGeneration=2))
    scale = harbour.client.get(names.INFERENCE_SERVICES.path("scaled", NAMESPACE, "scale"))
    assert scale["status"] == {
        "replicas": 3,
        "selector": "loadline.dev/pool=main,loadline.dev/service=scaled",
    }
    harbour.kubectl("scale", "llsvc/scaled", "--replicas=0", "-n", NAMESPACE)
    eventually(lambda: _is(ready("scaled"), status="True", replicas=0, readyReplicas=0))


def test_the_template_reaches_the_pods(harbour: Bed, ready: Callable[[str], Object]) -> None:
    container = {"name": "vllm", "image": "mine:2", "resources": {"limits": {"cpu": "1000m"}}}
    harbour.apply([service("shaped", template={"spec": {"containers": [container]}})])
    eventually(lambda: _is(ready("shaped"), status="True"))
    (made,) = deployment(harbour, "shaped")["spec"]["template"]["spec"]["containers"]
    assert made["image"] == "mine:2"
    assert made["resources"]["limits"] == {"cpu": "1", "nvidia.com/gpu": "1"}


def test_a_template_that_is_refused_is_told_in_words(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.apply([service("refused", template={"spec": {"restartPolicy": "Sometimes"}})])
    eventually(lambda: _is(ready("refused"), status="False", reason="TemplateRefused"))
    assert "restartPolicy" in ready("refused")["message"]
    harbour.apply([service("refused", template={"spec": {"restartPolicy": "Always"}})])
    eventually(lambda: _is(ready("refused"), status="True", reason="AsDeclared"))


def test_what_somebody_changes_is_put_right(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.apply([service("kept")])
    eventually(lambda: _is(ready("kept"), status="True"))
    harbour.kubectl("scale", "deployment/kept", "--replicas=2", "-n", NAMESPACE)
    eventually(lambda: _is(deployment(harbour, "kept")["spec"], replicas=1))
    harbour.kubectl("delete", "service", "kept", "-n", NAMESPACE)
    eventually(lambda: harbour.client.get(f"/api/v1/namespaces/{NAMESPACE}/services/kept"))


def test_a_deployment_of_somebody_else_is_left_alone(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.kubectl("create", "deployment", "taken", "--image=theirs", "-n", NAMESPACE)
    harbour.apply([service("taken")])
    eventually(lambda: _is(ready("taken"), status="False", reason="NoWorkload"))
    assert deployment(harbour, "taken")["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs"


def test_what_belongs_to_a_service_goes_with_it(harbour: Bed, ready: Callable[[str], Object]) -> None:
    harbour.apply([service("short")])
    eventually(lambda: _is(ready("short"), status="True"))
    owners = deployment(harbour, "short")["metadata"]["ownerReferences"]
    assert [owner["kind"] for owner in owners] == ["InferenceService"]
    path = names.INFERENCE_SERVICES.path("short", NAMESPACE)
    assert "finalizers" not in harbour.client.get(path)["metadata"]
    harbour.client.delete(path)


def _is(found: Object, **wanted: object) -> None:
    assert {key: found.get(key) for key in wanted} == wanted, found
