"""LeaderWorkerSet's own controllers run on the bed: groups are made, named, and told who leads them."""

import json
from collections.abc import Iterator

import pytest

from testbed.cluster import Bed, leader_worker_sets
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError

LEADER = "leaderworkerset.sigs.k8s.io/worker-index"


@pytest.fixture(scope="module")
def led() -> Iterator[Bed]:
    """A bed with the controllers and two nodes in name."""
    with Bed() as bed:
        leader_worker_sets.start(bed)
        bed.add_nodes(["lws-0", "lws-1"])
        yield bed


def group(name: str, *, size: int, replicas: int = 1) -> Object:
    template = {"spec": {"containers": [{"name": "engine", "image": "none"}]}}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "leaderWorkerTemplate": {"size": size, "workerTemplate": template}},
    }


def test_a_group_becomes_available_and_its_workers_know_their_leader(led: Bed) -> None:
    led.apply([group("chat", size=3, replicas=2)])
    led.wait("wait", "leaderworkerset/chat", "--for=condition=Available")
    pods = json.loads(led.kubectl("get", "pods", "-o", "json"))["items"]
    names = sorted(pod["metadata"]["name"] for pod in pods)
    assert names == ["chat-0", "chat-0-1", "chat-0-2", "chat-1", "chat-1-1", "chat-1-2"]
    told = {e["name"]: e["value"] for p in pods for e in p["spec"]["containers"][0]["env"] if "value" in e}
    assert told["LWS_GROUP_SIZE"] == "3"
    assert {p["metadata"]["labels"][LEADER] for p in pods} == {"0", "1", "2"}


def test_a_bad_group_is_refused_by_the_webhook(led: Bed) -> None:
    with pytest.raises(ApiError, match=r"admission webhook .* denied the request.*size"):
        led.apply([group("none", size=-1)])


def test_pods_of_others_do_not_pass_the_webhook(led: Bed) -> None:
    led.kubectl("create", "deployment", "plain", "--image=none")
    led.wait("rollout", "status", "deployment/plain")
