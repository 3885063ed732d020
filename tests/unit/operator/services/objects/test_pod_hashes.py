"""Which running pods may stay when another version of the operator would make others."""

from typing import Any

import pytest

from loadline_api import names
from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import DEPLOYMENTS, Manifest
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.manifests import Wanted
from loadline_operator.services.objects.pod_hashes import POD_HASH, PodHash, stays

BASE: dict[str, Any] = {
    "model": {"uri": "hf://org/model"},
    "router": {"replicas": 1},
    "prefill": {"replicas": 1},
    "template": {"spec": {"nodeSelector": {"gpu": "a100"}}},
}


def service(spec: dict[str, Any], *, generation: int = 3, observed: int = 3) -> InferenceService:
    metadata = {"name": "chat", "namespace": "prod", "uid": "uid-chat", "generation": generation}
    status = {"observedGeneration": observed}
    return InferenceService.parse({"metadata": metadata, "spec": spec, "status": status})


def workloads(spec: dict[str, Any], defaults: Defaults | None = None) -> dict[str, Wanted]:
    made = manifests.wanted(service(spec), defaults or Defaults())
    return {one.key.name: one for one in made if one.kind is DEPLOYMENTS}


def pod_hashes(spec: dict[str, Any], defaults: Defaults | None = None) -> dict[str, PodHash]:
    found = {name: manifests.pod_hash_of(one.manifest) for name, one in workloads(spec, defaults).items()}
    return {name: one for name, one in found.items() if one is not None}


def test_every_workload_is_marked() -> None:
    assert pod_hashes(BASE).keys() == {"chat", "chat-prefill", "chat-router"}


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 4},
        {"priority": 7},
        {"slo": {"ttftMs": 500}},
        {"prefill": {"perDecode": "2"}},
        {"router": {"replicas": 2}},
        {"rolloutStrategy": {"maxSurge": 2}},
    ],
    ids=str,
)
def test_counts_and_objectives_are_no_request_for_other_pods(change: dict[str, Any]) -> None:
    assert pod_hashes({**BASE, **change}) == pod_hashes(BASE)


@pytest.mark.parametrize(
    ("change", "whose"),
    [
        ({"model": {"uri": "hf://org/other"}}, {"chat", "chat-prefill"}),
        ({"engine": {"maxModelLength": 9}}, {"chat", "chat-prefill"}),
        ({"kvCache": {"dtype": "fp8"}}, {"chat", "chat-prefill"}),
        ({"template": {"spec": {}}}, {"chat", "chat-prefill"}),
        ({"prefill": {"replicas": 1, "parallelism": {"tensor": 2}}}, {"chat-prefill"}),
        ({"router": {"policy": "Random"}}, {"chat-router"}),
    ],
    ids=str,
)
def test_what_shapes_pods_is_another_request_for_those_pods(change: dict[str, Any], whose: set[str]) -> None:
    before, after = pod_hashes(BASE), pod_hashes({**BASE, **change})
    assert {name for name, one in after.items() if one.asked != before[name].asked} == whose


def test_what_the_cluster_says_is_part_of_what_was_asked_for() -> None:
    said = pod_hashes(BASE, Defaults(engine_image="mirror/vllm:v1"))
    assert all(one.asked != pod_hashes(BASE)[name].asked for name, one in said.items())


@pytest.mark.parametrize(
    ("there", "stay"),
    [
        (PodHash("request", "older pods"), True),
        (PodHash("request", "pods"), False),
        (PodHash("other request", "older pods"), False),
    ],
)
def test_pods_stay_that_the_same_request_made_otherwise(there: PodHash, stay: bool) -> None:
    assert stays(PodHash("request", "pods"), there, service=service(BASE)) is stay


@pytest.mark.parametrize(("observed", "stay"), [(3, True), (2, False)])
def test_pods_without_a_hash_stay_while_the_spec_is_the_one_known(observed: int, stay: bool) -> None:
    assert stays(PodHash("request", "pods"), None, service=service(BASE, observed=observed)) is stay


def test_a_kept_workload_has_the_pods_that_are_there_and_settles() -> None:
    one = workloads(BASE)["chat"]
    older: Manifest = {**one.manifest, "metadata": {"name": "chat", "annotations": {POD_HASH: "w.older"}}}
    older = {**older, "spec": {**one.manifest["spec"], "template": {"spec": {"containers": []}}}}
    kept = manifests.with_pods_of(one, older)
    assert kept.manifest["spec"]["template"] == older["spec"]["template"]
    wanted, found = manifests.pod_hash_of(one.manifest), manifests.pod_hash_of(kept.manifest)
    assert wanted is not None
    assert found == PodHash(wanted.asked, "older")
    assert manifests.with_pods_of(one, kept.manifest) == kept


def test_labels_are_those_that_select() -> None:
    labels = workloads(BASE)["chat"].manifest["metadata"]["labels"]
    assert labels[names.SERVICE_LABEL] == "chat"
