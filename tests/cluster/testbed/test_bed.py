"""The bed is a real Kubernetes: it schedules, issues node-bound tokens, and survives its API server."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster import Bed
from testbed.cluster.clients import Client, tls
from testbed.cluster.errors import ApiError, BedError, KubectlFailed
from testbed.cluster.tokens import RETRY_S
from testbed.cluster.waits import GaveUp, eventually

pytestmark = pytest.mark.cluster

NODE_NAME = "authentication.kubernetes.io/node-name"


def review(bed: Bed, token: str) -> dict[str, list[str]]:
    """What the API server takes the bearer of a token for."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with Client(bed.server, tls(bed.ca), token=token) as client:
        user = client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)["status"]["userInfo"]
    return {"username": [user["username"]], **user["extra"]}


def deployment(name: str, namespace: str, *, replicas: int, gpus: int, pool: str) -> dict[str, object]:
    container = {"name": "engine", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"nodeSelector": {"pool": pool}, "containers": [container]},
            },
        },
    }


def pods(bed: Bed, namespace: str) -> list[dict[str, object]]:
    return list(json.loads(bed.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"])


@pytest.fixture
def three_nodes(bed: Bed, namespace: str) -> Iterator[str]:
    """The pool of three nodes that only this test has; they are called by its name and a number."""
    names = [f"{namespace}-{number}" for number in range(3)]
    bed.add_nodes(names, labels={"pool": namespace})
    yield namespace
    bed.kubectl("delete", "node", *names)


@pytest.fixture
def other() -> Iterator[Bed]:
    with Bed(audit=True) as bed:
        yield bed


def test_a_deployment_with_gpus_becomes_available(bed: Bed, namespace: str, three_nodes: str) -> None:
    bed.apply([deployment("chat", namespace, replicas=3, gpus=8, pool=three_nodes)])
    bed.wait("rollout", "status", "deployment/chat", namespace=namespace)
    listed = bed.kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].spec.nodeName}")
    assert sorted(listed.split()) == [f"{three_nodes}-{number}" for number in range(3)]


def test_a_pod_for_which_no_gpu_is_left_stays_pending(bed: Bed, namespace: str, three_nodes: str) -> None:
    bed.apply([deployment("chat", namespace, replicas=4, gpus=8, pool=three_nodes)])
    available = "--for=jsonpath={.status.availableReplicas}=3"
    bed.wait("wait", "deployment/chat", available, namespace=namespace)
    assert eventually(lambda: is_unschedulable(bed, namespace))
    with pytest.raises(GaveUp, match=r"(?s)last state: .*chat-\S+ Pending.*Insufficient nvidia"):
        bed.wait("rollout", "status", "deployment/chat", namespace=namespace, standstill_s=1.0)


def is_unschedulable(bed: Bed, namespace: str) -> bool:
    """Whether one pod waits, and the scheduler has said why."""
    pending = bed.kubectl(
        "get", "pods", "-n", namespace, "--field-selector=status.phase=Pending", "-o", "json"
    )
    conditions = [pod["status"].get("conditions", [{}])[0] for pod in json.loads(pending)["items"]]
    messages = [str(condition.get("message")) for condition in conditions]
    return len(messages) == 1 and "Insufficient nvidia.com/gpu" in messages[0]


def test_deleted_pods_go(bed: Bed, namespace: str, three_nodes: str) -> None:
    bed.apply([deployment("chat", namespace, replicas=3, gpus=1, pool=three_nodes)])
    bed.wait("rollout", "status", "deployment/chat", namespace=namespace)
    bed.kubectl("scale", "deployment/chat", "-n", namespace, "--replicas=0")
    assert eventually(lambda: pods(bed, namespace) == [])


def test_a_token_bound_to_a_node_is_seen_as_such(bed: Bed, namespace: str, three_nodes: str) -> None:
    token = bed.node_token(f"{three_nodes}-1", "default", namespace)
    seen = review(bed, token.value)
    assert seen["username"] == [f"system:serviceaccount:{namespace}:default"]
    assert seen[NODE_NAME] == [f"{three_nodes}-1"]
    assert token.expires_s - time.time() == pytest.approx(3600, abs=60)


def test_a_token_for_an_audience_is_none_for_the_api_server(
    bed: Bed, namespace: str, three_nodes: str
) -> None:
    token = bed.node_token(f"{three_nodes}-1", "default", namespace, audience="loadline-worker")
    with pytest.raises(ApiError) as refused:
        review(bed, token.value)
    assert refused.value.code == 401
    spec = {"token": token.value, "audiences": ["loadline-worker"]}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    status = bed.client.create("/apis/authentication.k8s.io/v1/tokenreviews", body)["status"]
    assert status["authenticated"] is True
    assert status["user"]["extra"][NODE_NAME] == [f"{three_nodes}-1"]


def test_a_token_for_a_node_that_is_not_there_is_refused(bed: Bed, namespace: str) -> None:
    with pytest.raises(ApiError, match="nowhere"):
        bed.node_token("nowhere", "default", namespace)


def test_an_identity_is_its_account_and_no_more(bed: Bed, namespace: str, three_nodes: str) -> None:
    identity = bed.identity("default", namespace, node=f"{three_nodes}-2")
    assert review(bed, identity.token.read_text())[NODE_NAME] == [f"{three_nodes}-2"]
    who = bed.kubectl("auth", "whoami", "-o", "json", kubeconfig=identity.kubeconfig)
    assert f"system:serviceaccount:{namespace}:default" in who
    with pytest.raises(KubectlFailed, match="Forbidden"):
        bed.kubectl("get", "secrets", kubeconfig=identity.kubeconfig)
    assert identity.token.stat().st_mode & 0o077 == 0


def test_a_token_is_renewed_at_half_its_life(bed: Bed, namespace: str) -> None:
    identity = bed.identity("default", namespace, expiry_s=600)
    first, now = identity.token.read_text(), time.time()
    bed.token_keeper.renew(now + 290)
    assert identity.token.read_text() == first
    bed.token_keeper.renew(now + 310)
    assert identity.token.read_text() != first
    assert review(bed, identity.token.read_text())["username"] == [
        f"system:serviceaccount:{namespace}:default"
    ]


def test_a_token_that_can_not_be_renewed_is_tried_again_and_stays(bed: Bed, namespace: str) -> None:
    bed.kubectl("create", "serviceaccount", "short-lived", "-n", namespace)
    identity = bed.identity("short-lived", namespace)
    bed.kubectl("delete", "serviceaccount", "short-lived", "-n", namespace)
    first, later = identity.token.read_text(), time.time() + 1900
    due_s = bed.token_keeper.renew(later)
    assert bed.token_keeper.failures[identity.token] == 1
    assert later < due_s <= later + RETRY_S
    assert identity.token.read_text() == first


def test_apply_waits_until_a_new_kind_is_served(bed: Bed) -> None:
    names = {"plural": "buoys", "singular": "buoy", "kind": "Buoy"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "buoys.example.org"},
        "spec": {"group": "example.org", "names": names, "scope": "Namespaced", "versions": [version]},
    }
    buoy = {"apiVersion": "example.org/v1", "kind": "Buoy", "metadata": {"name": "a"}, "depth": 3}
    applied = bed.apply([crd, buoy])
    assert applied[1]["metadata"]["namespace"] == "default"
    assert bed.client.get("/apis/example.org/v1/namespaces/default/buoys/a")["depth"] == 3
    bed.kubectl("delete", "crd", "buoys.example.org")


def test_applying_an_unknown_kind_says_what_to_do(bed: Bed) -> None:
    with pytest.raises(BedError, match="kind is 'Boat': the API server knows none at /api/v1; apply its CRD"):
        bed.apply([{"apiVersion": "v1", "kind": "Boat", "metadata": {"name": "a"}}])


def test_two_beds_side_by_side_know_nothing_of_each_other(bed: Bed, namespace: str, other: Bed) -> None:
    assert other.server != bed.server
    with pytest.raises(KubectlFailed, match="not found"):
        other.kubectl("get", "namespace", namespace)
    with pytest.raises(ApiError, match="Unauthorized"):
        review(other, bed.identity("default", "default").token.read_text())


def test_the_api_server_comes_back_on_its_port_with_its_data(other: Bed) -> None:
    other.add_nodes(["back-0"], labels={"pool": "back"})
    other.apply([deployment("chat", "default", replicas=1, gpus=8, pool="back")])
    server = other.server
    other.apiserver.stop()
    assert not other.apiserver.running
    assert not other.client.healthy()
    other.apiserver.start()
    assert other.server == server
    other.wait("rollout", "status", "deployment/chat")


def test_the_bed_goes_on_running_pods_after_its_api_server_was_away(other: Bed) -> None:
    other.apiserver.stop()
    other.apiserver.start()
    other.add_nodes(["later-0"], labels={"pool": "later"})
    other.apply([deployment("late", "default", replicas=1, gpus=8, pool="later")])
    other.wait("rollout", "status", "deployment/late")


def test_every_request_is_in_the_audit_log(other: Bed) -> None:
    other.kubectl("create", "configmap", "noticed")
    assert other.audit_log is not None
    events = [json.loads(line) for line in other.audit_log.read_text().splitlines()]
    assert any(e["verb"] == "create" and e["objectRef"].get("name") == "noticed" for e in events)


def test_a_bed_that_can_not_start_leaves_nothing(tmp_path: Path) -> None:
    bed = Bed(controllers=("no-such-controller",), logs=tmp_path)
    with pytest.raises(BedError, match=r"(?s)kube-controller-manager ended.*no-such-controller"), bed:
        pytest.fail("it started")
    assert not bed.directory.exists()
