"""A pool whose replicas span nodes is a LeaderWorkerSet."""

from typing import Any

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.leader_worker_sets import leader_worker_set

LONGEST_SET = 52
"""A StatefulSet's pods bear its name and eleven characters in a label of 63."""


def group(name: str = "chat", **spec: Any) -> Manifest:
    whole = {"model": {"uri": "hf://org/llm"}, "parallelism": {"tensor": 16, "nodes": 2}, **spec}
    one = InferenceService.parse({"metadata": {"name": name, "namespace": "serving"}, "spec": whole})
    described = describe(one, Defaults())
    return leader_worker_set(described, described.pools[-1])


def test_a_replica_is_a_group_of_one_pod_a_node() -> None:
    spec = group(replicas=3)["spec"]
    assert spec["replicas"] == 3
    assert spec["leaderWorkerTemplate"]["size"] == 2
    assert spec["leaderWorkerTemplate"]["restartPolicy"] == "RecreateGroupOnPodRestart"


def test_leader_and_followers_differ_in_their_part_alone() -> None:
    templates = group()["spec"]["leaderWorkerTemplate"]
    leader, follower = (templates[name] for name in ("leaderTemplate", "workerTemplate"))
    assert leader["metadata"] == follower["metadata"]
    assert leader["spec"]["initContainers"] == follower["spec"]["initContainers"]
    (one,), (other,) = leader["spec"]["containers"], follower["spec"]["containers"]
    assert "readinessProbe" in one
    assert "readinessProbe" not in other


def test_a_template_is_laid_over_both() -> None:
    templates = group(template={"nodeSelector": {"gpu": "h200"}})["spec"]["leaderWorkerTemplate"]
    assert templates["leaderTemplate"]["spec"]["nodeSelector"] == {"gpu": "h200"}
    assert templates["workerTemplate"]["spec"]["nodeSelector"] == {"gpu": "h200"}


def test_groups_roll_as_the_service_says() -> None:
    told = group(rolloutStrategy={"maxSurge": "50%", "maxUnavailable": 1})["spec"]["rolloutStrategy"]
    assert told["rollingUpdateConfiguration"] == {"maxSurge": "50%", "maxUnavailable": 1}
    assert group()["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


def test_a_thousand_groups_of_the_longest_name_have_pods() -> None:
    longest = group("c" * 40, prefill={"replicas": 1}, router={})["metadata"]["name"]
    assert longest.endswith("-prefill")
    assert len(f"{longest}-999") <= LONGEST_SET
