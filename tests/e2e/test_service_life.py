"""
The life of a service on a real node, with the stand-in for the engine: nothing here is about tokens.

One cluster for the file, a namespace a test. The chart is installed as a user installs it.
"""

import itertools
from collections.abc import Iterator

import pytest

from demos.serving import trials
from demos.serving.clusters import Engine, ServingCluster
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


def test_a_manifest_becomes_answers_through_the_router(cluster: ServingCluster, space: str) -> None:
    service = trials.serve(cluster, namespace=space)
    assert service.complete("one") != service.complete("two")
    assert {pod["metadata"]["labels"][names.POOL_LABEL] for pod in service.pods()} == {"main", "router"}


def test_prefill_and_decode_answer_together(cluster: ServingCluster, space: str) -> None:
    service = trials.serve(cluster, namespace=space, prefill={"perDecode": "2"})
    assert service.complete("how deep may the ship lie in the water")
    assert service.external_kv_tokens() > 0
    assert service.ready_replicas("prefill") == 2


def test_a_rolling_update_under_load_loses_no_request(cluster: ServingCluster, space: str) -> None:
    assert trials.rollout(cluster, space).failures == {}


def test_a_split_service_is_rolled_under_load_without_loss(cluster: ServingCluster, space: str) -> None:
    assert trials.rollout(cluster, space, prefill={"replicas": 2}).failures == {}


def test_replicas_go_up_down_to_zero_and_back(cluster: ServingCluster, space: str) -> None:
    service = trials.serve(cluster, namespace=space)
    for replicas in (2, 1):
        service.scale(replicas)
        service.until("Ready", "True")
        assert service.ready_replicas() == replicas
    assert trials.to_zero_and_back(service)


def test_a_container_that_ends_again_and_again_is_told(cluster: ServingCluster, space: str) -> None:
    cluster.apply(trials.manifest(template=trials.told(STANDIN_CRASH_AFTER_S="0")), namespace=space)
    service = cluster.service("chat", space)
    told = service.until("Ready", "False", reason="CrashLoop", limit_s=120)
    assert service.pods("main")[0]["metadata"]["name"] in told["message"]


def test_deleting_a_service_leaves_nothing(cluster: ServingCluster, space: str) -> None:
    trials.serve(cluster, namespace=space, prefill={"replicas": 1})
    kinds = "deployments,services,serviceaccounts,rolebindings,poddisruptionbudgets,pods"
    selector = f"{names.SERVICE_LABEL}=chat"
    cluster.bed.kubectl("delete", names.INFERENCE_SERVICES.full_name, "chat", "-n", space)

    def left() -> str:
        return cluster.bed.kubectl("get", kinds, "-n", space, "-l", selector, "-o", "name").strip()

    trials.until(lambda: not left())
