"""Replicas that span nodes, by LeaderWorkerSet's own controllers: a fault costs one group and no other."""

from collections.abc import Iterator

import pytest

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import LEADER_WORKER_SETS
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import wanted
from testbed import peers
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import STRATEGIC, Object
from testbed.doubles.operators import pods_of, service

pytestmark = pytest.mark.cluster

GROUP = "leaderworkerset.sigs.k8s.io/group-index"
PATIENCE_S = 60.0
"""A group's pods come one after the other, through webhooks."""


@pytest.fixture(scope="module")
def groups() -> Iterator[Bed]:
    """Two groups of two pods, made of what the operator would apply; nobody here owns them."""
    wide = service("wide", replicas=2, parallelism={"tensor": 8, "pipeline": 2, "nodes": 2})
    offered = frozenset({LEADER_WORKER_SETS})
    with Bed() as bed:
        bed.add_nodes([f"mole-{index}" for index in range(4)])
        peers.start_leader_worker_sets(bed)
        for one in wanted(describe(InferenceService.parse(wide), Defaults()), offered=offered):
            metadata = {
                key: value for key, value in one.manifest["metadata"].items() if key != "ownerReferences"
            }
            bed.apply([{**one.manifest, "metadata": metadata}])
        eventually(lambda: are_ready(bed, 4), patience_s=PATIENCE_S)
        yield bed


def are_ready(bed: Bed, count: int) -> None:
    conditions = [pod["status"].get("conditions", ()) for pod in pods_of(bed, name="wide")]
    ready = [one["status"] for each in conditions for one in each if one["type"] == "Ready"]
    assert ready == ["True"] * count


def by_group(bed: Bed) -> dict[str, set[str]]:
    """The pods' uids by the group's number."""
    found: dict[str, set[str]] = {"0": set(), "1": set()}
    for pod in pods_of(bed, name="wide"):
        found[pod["metadata"]["labels"][GROUP]].add(pod["metadata"]["uid"])
    return found


def crashed(pod: Object) -> Object:
    """The status that a kubelet writes once a container has ended and was started again."""
    (container,) = pod["status"]["containerStatuses"]
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    return {"containerStatuses": [{**container, "restartCount": 1, "lastState": ended}]}


def test_a_crash_starts_its_group_anew_and_leaves_the_other_alone(groups: Bed) -> None:
    before = by_group(groups)
    path = "/api/v1/namespaces/default/pods/wide-0-1/status"
    status = crashed(groups.client.get("/api/v1/namespaces/default/pods/wide-0-1"))
    groups.client.patch(path, {"status": status}, content_type=STRATEGIC)
    eventually(lambda: is_new(groups, before), patience_s=PATIENCE_S)
    assert by_group(groups)["1"] == before["1"]


def is_new(bed: Bed, before: dict[str, set[str]]) -> None:
    """Both pods of the struck group are others, and all four are ready."""
    assert len(by_group(bed)["0"]) == 2
    assert by_group(bed)["0"].isdisjoint(before["0"])
    are_ready(bed, 4)
