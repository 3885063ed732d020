"""
Pains that need running pods: nothing to serve with, a crash, a GPU that is lost, one that nobody knows.

One cluster and one service for the file: every test finds it Ready and leaves it so. The node
has two GPUs of a make that no list holds, each with an engine, which is a stand-in.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demos.serving.clusters import Engine, ServingCluster
from demos.serving.completions import Load
from demos.serving.services import Service
from loadline_agent.workloads import pod_resources
from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.clients import Object

pytestmark = pytest.mark.node

UNHEARD_OF = "NVIDIA GX900 Ultra"
GPUS = 2
PATIENCE_S = 60.0
AT_ONCE_S = 2.0
"""Chosen: a client that waits longer than this isn't refused at once."""


@pytest.fixture(scope="module")
def dock() -> Iterator[ServingCluster]:
    with ServingCluster(Engine.STANDIN, gpus=GPUS) as cluster:
        cluster.gpus.board.header["model"][0] = UNHEARD_OF.encode()
        cluster.install()
        yield cluster


@pytest.fixture(scope="module")
def made(dock: ServingCluster) -> Service:
    """A service with a router and an engine on each GPU, whose pods don't linger at their end."""
    engine = {
        "name": names.ENGINE_CONTAINER,
        "imagePullPolicy": "Never",
        "env": [{"name": "STANDIN_ITL_MS", "value": "20"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
    }
    spec = {
        "model": {"uri": "file:///models/tiny"},
        "replicas": GPUS,
        "router": {"policy": "RoundRobin"},
        "template": {"spec": {"terminationGracePeriodSeconds": 5, "containers": [engine]}},
    }
    head = {"apiVersion": names.API_VERSION, "kind": names.INFERENCE_SERVICES.kind}
    dock.apply({**head, "metadata": {"name": "chat"}, "spec": spec})
    return dock.service("chat")


@pytest.fixture
def service(made: Service) -> Service:
    """That service, Ready."""
    made.until("Ready", "True", limit_s=90)
    return made


def as_keda(service: Service, replicas: int) -> None:
    """What KEDA does to put a service to sleep and to wake it: it writes the scale subresource."""
    path = names.INFERENCE_SERVICES.path(service.name, namespace=service.namespace, subresource="scale")
    service.bed.client.patch(path, {"spec": {"replicas": replicas}}, fieldManager="keda")


def status_of(service: Service) -> int:
    """The status of a completion; 0 where nobody takes the connection."""
    body = {"model": service.model, "prompt": "hello", "max_tokens": 4}
    try:
        answer = httpx.post(f"{service.url}/v1/completions", json=body, timeout=10, trust_env=False)
    except httpx.ConnectError:
        return 0
    return answer.status_code


def lives(pods: list[Object]) -> dict[str, int]:
    """Restarts by the pods' uids."""
    return {
        pod["metadata"]["uid"]: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
        for pod in pods
    }


def capacity(cluster: ServingCluster) -> Object:
    """What the node's agent tells of the node."""
    return dict(cluster.bed.client.get(names.NODE_CAPACITIES.path(cluster.bed.node.name))["status"])


def gpus_ready(cluster: ServingCluster) -> Object:
    """The condition of the node's GPUs."""
    (found,) = (one for one in capacity(cluster)["conditions"] if one["type"] == "GpusReady")
    return dict(found)


def test_a_gpu_that_nobody_has_heard_of_is_one_like_any_other(dock: ServingCluster, service: Service) -> None:
    assert service.complete("hello")
    eventually(lambda: are_told(capacity(dock), "default/chat"), patience_s=PATIENCE_S)
    assert gpus_ready(dock)["reason"] == "AllSeen"


def are_told(status: Object, service: str) -> None:
    """The agent names all GPUs as their driver does, with their range, and knows whose they are."""
    assert [(one["name"], one["minWatts"] > 0) for one in status["gpus"]] == [(UNHEARD_OF, True)] * GPUS
    assert [(one["service"], one["gpus"]) for one in status["services"]] == [(service, GPUS)]


def test_a_service_at_zero_refuses_at_once_and_serves_as_soon_as_it_is_ready(service: Service) -> None:
    front = lives(service.pods("router"))
    as_keda(service, 0)
    service.until("Ready", "False", reason="ScaledToZero")
    service.wait(lambda: not service.pods("main") or None, "no pod of an engine")
    began_s = time.monotonic()
    assert {status_of(service) for _ in range(3)} <= {0, 503}
    assert time.monotonic() - began_s < 3 * AT_ONCE_S
    as_keda(service, GPUS)
    service.until("Ready", "True")
    assert {status_of(service) for _ in range(30)} == {200}
    assert lives(service.pods("router")) == front, "the front has outlived the engines"


def test_a_crash_costs_no_other_pod_and_no_request(dock: ServingCluster, service: Service) -> None:
    struck, _ = service.pods("main")
    engines, front = lives(service.pods("main")), lives(service.pods("router"))
    generation = deployment(service)["metadata"]["generation"]
    since = service.condition("Ready")["lastTransitionTime"]
    with Load(service.url, service.model) as load:
        service.wait(lambda: load.tally.answered > 10 or None, "an answer")
        strike(dock, struck)
        service.wait(lambda: lives(service.pods("main")) != engines or None, "a restart")
        service.until("Ready", "True")
        answered = load.tally.answered
        service.wait(lambda: load.tally.answered > answered + 20 or None, "more answers")
    assert load.tally.failures == {}
    uid = struck["metadata"]["uid"]
    assert lives(service.pods("main")) == {**engines, uid: engines[uid] + 1}
    assert lives(service.pods("router")) == front
    assert deployment(service)["metadata"]["generation"] == generation
    assert service.condition("Ready")["lastTransitionTime"] > since, "it was told meanwhile"


def deployment(service: Service) -> Object:
    return service.bed.client.get(f"/apis/apps/v1/namespaces/{service.namespace}/deployments/{service.name}")


def strike(cluster: ServingCluster, pod: Object) -> None:
    """Kill the engine in a pod, as a fault of the driver does: it has no time for a last word."""
    bed, host = cluster.bed.directory.name, f"HOSTNAME={pod['metadata']['name']}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes().split(b"\0")
            ours = bed in (process / "cgroup").read_text()
        except OSError:
            continue  # it has ended meanwhile
        if ours and host in told:
            os.kill(int(process.name), signal.SIGKILL)
            return
    raise AssertionError(f"no process runs in pod {pod['metadata']['name']}")


def test_a_gpu_that_is_lost_is_told_and_comes_back_by_itself(dock: ServingCluster, service: Service) -> None:
    agents = lives(agents_of(dock))
    struck, _ = service.pods("main")
    uuid = gpu_of(dock, struck)
    index = dock.gpus.board.uuids(0).index(uuid)
    dock.gpus.board.lose(0, index)
    try:
        eventually(lambda: is_lost(gpus_ready(dock), uuid), patience_s=PATIENCE_S)
        service.wait(lambda: dock.gpus.allocatable() == GPUS - 1 or None, "a GPU less is offered")
        dock.bed.kubectl("delete", "pod", struck["metadata"]["name"], "-n", service.namespace)
        told = service.until("Ready", "False", reason="GpuMissing")
        assert "1 of 2 replicas are ready" in told["message"]
        assert service.condition("CapacityLimited")["status"] == "True"
        assert {status_of(service) for _ in range(10)} == {200}, "the other replica serves"
    finally:
        dock.gpus.board.heal(0, index)
    service.until("Ready", "True")
    eventually(lambda: is_seen(gpus_ready(dock)), patience_s=PATIENCE_S)
    assert lives(agents_of(dock)) == agents, "nothing had to be started anew"


def agents_of(cluster: ServingCluster) -> list[Object]:
    selector = "app.kubernetes.io/component=agent"
    path = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/pods"
    return list(cluster.bed.client.get(path, labelSelector=selector)["items"])


def gpu_of(cluster: ServingCluster, pod: Object) -> str:
    """The UUID of the one GPU that the kubelet has given a pod."""
    known = asyncio.run(pod_resources.ask(cluster.bed.node.pod_resources))
    (uuid,) = known[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"]
    return str(uuid)


def is_lost(condition: Object, uuid: str) -> None:
    assert (condition["status"], condition["reason"]) == ("False", "GpuLost")
    assert uuid in condition["message"]


def is_seen(condition: Object) -> None:
    assert (condition["status"], condition["reason"]) == ("True", "AllSeen")
