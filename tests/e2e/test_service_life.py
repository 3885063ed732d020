"""
The life of a service on a real node, with the stand-in for the engine: nothing here is about tokens.

One cluster for the file, a namespace a test. The chart is installed as a user installs it.
"""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hack.serving.clusters import Engine, ServingCluster
from hack.serving.completions import Load
from hack.serving.services import Service
from loadline_api import names

pytestmark = pytest.mark.node

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ServingCluster]:
    with ServingCluster(Engine.STANDIN) as cluster:
        cluster.install()
        yield cluster


@pytest.fixture
def space(cluster: ServingCluster) -> Iterator[str]:
    name = f"life-{next(_numbers)}"
    cluster.bed.kubectl("create", "namespace", name)
    yield name
    cluster.bed.kubectl("delete", "namespace", name, "--wait=false")


def manifest(name: str = "chat", **spec: Any) -> dict[str, Any]:
    whole = {"model": {"uri": "file:///models/tiny"}, "router": {"policy": "RoundRobin"}, **spec}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": whole,
    }


def engine(**environment: str) -> dict[str, Any]:
    """A template that gives the stand-in its settings, and ends its pods soon."""
    told = [{"name": name, "value": value} for name, value in environment.items()]
    container = {"name": names.ENGINE_CONTAINER, "env": told, "imagePullPolicy": "Never"}
    return {"spec": {"containers": [container]}}


def served(cluster: ServingCluster, space: str, **spec: Any) -> Service:
    """A service that has become Ready."""
    cluster.apply(manifest(**{"template": engine(), **spec}), namespace=space)
    service = cluster.service("chat", space)
    service.until("Ready", "True", limit_s=90)
    return service


def test_a_manifest_becomes_answers_through_the_router(cluster: ServingCluster, space: str) -> None:
    service = served(cluster, space)
    assert service.complete("one") != service.complete("two")
    assert {pod["metadata"]["labels"][names.POOL_LABEL] for pod in service.pods()} == {"main", "router"}


def test_prefill_and_decode_answer_together(cluster: ServingCluster, space: str) -> None:
    service = served(cluster, space, prefill={"perDecode": "2"})
    assert service.complete("how deep may the ship lie in the water")
    assert service.external_kv_tokens() > 0, service.counters("main", "vllm:")
    assert service.ready_replicas("prefill") == 2


def test_a_rolling_update_under_load_loses_no_request(cluster: ServingCluster, space: str) -> None:
    slow = engine(STANDIN_ITL_MS="20")
    service = served(cluster, space, replicas=2, template=slow)
    with Load(service.url, service.model) as load:
        _until(lambda: load.tally.answered > 10)
        before = {pod["metadata"]["uid"] for pod in service.pods("main")}
        cluster.apply(manifest(replicas=2, template=slow, engine={"maxModelLength": 1024}), namespace=space)
        service.until("Ready", "True", limit_s=120)
        _until(lambda: not before & {pod["metadata"]["uid"] for pod in service.pods("main")})
        answered = load.tally.answered
        _until(lambda: load.tally.answered > answered + 10)
    assert load.tally.failures == {}


def test_replicas_go_up_down_to_zero_and_back(cluster: ServingCluster, space: str) -> None:
    service = served(cluster, space)
    for replicas in (2, 1):
        service.scale(replicas)
        service.wait(lambda count=replicas: service.ready_replicas() == count or None, f"{replicas} replicas")
        service.until("Ready", "True")
    service.scale(0)
    service.until("Ready", "False", reason="ScaledToZero")
    _until(lambda: not service.pods("main"))
    service.scale(1)
    service.until("Ready", "True")
    assert service.complete("back again")


def test_a_container_that_ends_again_and_again_is_told(cluster: ServingCluster, space: str) -> None:
    cluster.apply(manifest(template=engine(STANDIN_CRASH_AFTER_S="0")), namespace=space)
    service = cluster.service("chat", space)
    told = service.until("Ready", "False", reason="CrashLoop", limit_s=120)
    assert service.pods("main")[0]["metadata"]["name"] in told["message"]


def test_deleting_a_service_leaves_nothing(cluster: ServingCluster, space: str) -> None:
    served(cluster, space, prefill={"replicas": 1})
    kinds = "deployments,services,serviceaccounts,rolebindings,poddisruptionbudgets,pods"
    selector = f"{names.SERVICE_LABEL}=chat"
    cluster.bed.kubectl("delete", names.INFERENCE_SERVICES.full_name, "chat", "-n", space)

    def left() -> str:
        return cluster.bed.kubectl("get", kinds, "-n", space, "-l", selector, "-o", "name").strip()

    _until(lambda: not left(), limit_s=60)
    assert left() == ""


def _until(holds: Any, limit_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not so after {limit_s:g} s"
        time.sleep(0.1)
