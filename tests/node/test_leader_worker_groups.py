"""A LeaderWorkerSet's pods really run, and a worker finds its leader by the name that it is told."""

import pytest

from testbed.cluster import images, leader_worker_sets
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.workloads import Namespace


@pytest.fixture(scope="module")
def controllers(node_bed: NodeBed) -> None:
    leader_worker_sets.start(node_bed)


@pytest.mark.usefixtures("controllers")
def test_a_worker_finds_its_leader_by_name(space: Namespace) -> None:
    container = {"name": "main", "image": images.BUSYBOX, "command": ["sh", "-c", "sleep 1000"]}
    template = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    space.apply(
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": "group"},
            "spec": {"leaderWorkerTemplate": {"size": 2, "workerTemplate": template}},
        }
    )
    space.wait("wait", "leaderworkerset/group", "--for=condition=Available")
    leader = space.kubectl("get", "pod", "group-0", "-o", "jsonpath={.status.podIP}")
    assert leader in space.exec("group-0-1", "nslookup $LWS_LEADER_ADDRESS.svc.cluster.local")
