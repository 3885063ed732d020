"""Which running pods may stay when another version of the operator would make others."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from loadline_api import names
from loadline_api.inference_services import InferenceService, InferenceServiceSpec
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Manifest
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import Wanted
from loadline_operator.services.objects.pod_hashes import (
    POD_HASH,
    SHAPES_NO_POD,
    SHAPES_NO_POD_OF,
    TEMPLATES,
    PodHash,
    stays,
)

BASE: dict[str, Any] = {
    "model": {"uri": "hf://org/model"},
    "router": {"replicas": 1},
    "prefill": {"replicas": 1},
    "kvCache": {"admission": {"mode": "Observe"}, "retention": {"mode": "Observe"}},
    "experts": {"mode": "Observe"},
    "slo": {"ttftMs": 900},
    "template": {"spec": {"nodeSelector": {"gpu": "a100"}}},
}

WITH_AGENTS = Defaults(agent_url="http://loadline-agent-workers.loadline-system.svc:9479")


def service(spec: dict[str, Any], *, generation: int = 3, observed: int = 3) -> InferenceService:
    metadata = {"name": "chat", "namespace": "prod", "uid": "uid-chat", "generation": generation}
    status = {"observedGeneration": observed}
    return InferenceService.parse({"metadata": metadata, "spec": spec, "status": status})


def workloads(spec: dict[str, Any], defaults: Defaults | None = None) -> dict[str, Wanted]:
    made = manifests.wanted(describe(service(spec), defaults or Defaults()))
    return {one.key.name: one for one in made if one.kind is DEPLOYMENTS}


def pod_hashes(spec: dict[str, Any], defaults: Defaults | None = None) -> dict[str, PodHash]:
    found = {name: manifests.pod_hash_of(one.manifest) for name, one in workloads(spec, defaults).items()}
    return {name: one for name, one in found.items() if one is not None}


EDITS: dict[str, Any] = {
    "model": {"uri": "hf://org/other"},
    "replicas": 4,
    "scaling": {"maxReplicas": 9},
    "parallelism": {"tensor": 2},
    "engine": {"maxModelLength": 9},
    "template": {"spec": {"nodeSelector": {"gpu": "h200"}}},
    "rollout_strategy": {"maxSurge": 2},
    "priority": 7,
    "slo": {"ttftMs": 500},
    "power": {"maxWatts": 300},
    "experts.policy_ref": {"name": "careful"},
    "experts.mode": "Enforce",
    "experts.gamma": {"minPercent": 150},
    "experts.strategy": "Reroute",
    "experts.min_tokens": 512,
    "experts.guard": {"maxDroppedPercent": 5},
    "workload_ref": None,
    "prefill.replicas": 3,
    "prefill.per_decode": "2",
    "prefill.parallelism": {"tensor": 2},
    "prefill.template": {"nodeSelector": {"gpu": "h200"}},
    "prefill.policy_ref": {"name": "bulk"},
    "router.replicas": 2,
    "router.policy": "Random",
    "router.template": {"nodeSelector": {"gpu": "none"}},
    "kv_cache.dtype": "fp8",
    "kv_cache.policy_ref": {"name": "bulk"},
    "kv_cache.admission.mode": "Enforce",
    "kv_cache.admission.estimator": "Buckets",
    "kv_cache.admission.victim": "Newest",
    "kv_cache.admission.reserve_percent": 20,
    "kv_cache.retention.mode": "Enforce",
    "kv_cache.retention.policy_ref": {"name": "rungs"},
    "kv_cache.retention.policy": "KeyNorm",
    "kv_cache.retention.budget_tokens": 512,
    "kv_cache.retention.most_tokens": 1024,
    "kv_cache.retention.buffer_tokens": 128,
    "kv_cache.retention.sink_tokens": 8,
    "kv_cache.retention.recent_tokens": 64,
    "kv_cache.retention.protect_tokens": 100,
    "kv_cache.retention.gates_path": "/gates/chat.safetensors",
    "kv_cache.retention.quality_class": "High",
    "kv_cache.retention.on_probe_failure": "Refuse",
}
"""An edit of each field of a spec; of workloadRef none, since it stands in the model's place."""


def fields(model: type[BaseModel] = InferenceServiceSpec, before: str = "") -> Iterator[str]:
    """All fields of a spec, and those of the parts that shape pods only in part."""
    for name, field in model.model_fields.items():
        path = f"{before}{name}"
        if path not in SHAPES_NO_POD_OF:
            yield path
            continue
        (part,) = (one for one in get_args(field.annotation) if issubclass(one, BaseModel))
        yield from fields(part, f"{path}.")


def edited(path: str) -> dict[str, Any]:
    """The top part of the spec with this edit, all else in it as before."""
    first, *rest = map(to_camel, path.split("."))
    return {first: _set(BASE.get(first), rest, EDITS[path])}


def _set(part: Any, path: list[str], value: Any) -> Any:
    return {**(part or {}), path[0]: _set((part or {}).get(path[0]), path[1:], value)} if path else value


def shapes(path: str) -> bool:
    """Whether the lists say that a field shapes pods."""
    part, _, field = path.rpartition(".")
    return field not in (SHAPES_NO_POD_OF[part] if part else SHAPES_NO_POD)


def pods(spec: dict[str, Any]) -> dict[str, Manifest]:
    made = workloads(spec, WITH_AGENTS)
    return {name: one.manifest["spec"][TEMPLATES[one.kind]] for name, one in made.items()}


def test_every_field_of_a_spec_is_edited_here() -> None:
    assert sorted(EDITS) == sorted(fields())


@pytest.mark.parametrize("path", [path for path, edit in EDITS.items() if edit is not None])
def test_a_field_shapes_pods_or_is_listed_as_one_that_does_not(path: str) -> None:
    changed = {**BASE, **edited(path)}
    asked, before = pod_hashes(changed), pod_hashes(BASE)
    assert any(asked[name].asked != before[name].asked for name in before) is shapes(path)
    assert (pods(changed) != pods(BASE)) is shapes(path)


def test_the_hash_of_a_request_is_that_of_earlier_versions() -> None:
    """Experts too: earlier versions had only their policyRef, which shaped no pod."""
    spec = {**BASE, "kvCache": {"dtype": "fp8"}, "parallelism": {"tensor": 2}, "priority": 5}
    spec = {**spec, "experts": {"policyRef": {"name": "careful"}}}
    found = {name: one.asked for name, one in pod_hashes(spec, Defaults(gpu_resource="amd.com/gpu")).items()}
    assert found == {
        "chat": "0741629d76a1a10c",
        "chat-prefill": "37bb5745af4072f0",
        "chat-router": "43c2cdfae40342ed",
    }


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
        ({"experts": {"mode": "Enforce"}}, {"chat", "chat-prefill"}),
        ({"engine": {"maxModelLength": 9}}, {"chat", "chat-prefill"}),
        ({"kvCache": {"dtype": "fp8", **BASE["kvCache"]}}, {"chat", "chat-prefill"}),
        ({"kvCache": {"admission": {"mode": "Enforce"}}}, {"chat", "chat-prefill"}),
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


WIDE: dict[str, Any] = {"model": {"uri": "hf://org/llm"}, "parallelism": {"tensor": 2, "nodes": 2}}


@pytest.mark.parametrize(
    "network", [{"networkConfig": {"subdomainPolicy": "Shared"}}, {}], ids=["shared", "none"]
)
def test_a_kept_group_finds_its_leader_as_before(network: Manifest) -> None:
    """Groups of a version that left it to LeaderWorkerSet go on until something else is asked for."""
    made = manifests.wanted(describe(service(WIDE), Defaults()), offered=frozenset({LEADER_WORKER_SETS}))
    (one,) = (each for each in made if each.kind is LEADER_WORKER_SETS)
    assert one.manifest["spec"]["networkConfig"] == {"subdomainPolicy": "UniquePerReplica"}
    spec = {key: value for key, value in one.manifest["spec"].items() if key != "networkConfig"}
    kept = manifests.with_pods_of(one, {**one.manifest, "spec": {**spec, **network}}).manifest["spec"]
    assert {key: value for key, value in kept.items() if key == "networkConfig"} == network


def test_labels_are_those_that_select() -> None:
    labels = workloads(BASE)["chat"].manifest["metadata"]["labels"]
    assert labels[names.SERVICE_LABEL] == "chat"


def test_agents_that_come_with_a_newer_chart_replace_no_pods() -> None:
    there = pod_hashes(BASE)["chat"]
    wanted = pod_hashes(BASE, WITH_AGENTS)["chat"]
    assert wanted.pods != there.pods
    assert stays(wanted, there, service=service(BASE))


@pytest.mark.parametrize("admission", [{}, {"mode": "Off"}, {"estimator": "Buckets"}], ids=str)
def test_admission_that_no_mode_was_asked_for_is_no_request_for_other_pods(admission: Any) -> None:
    plain = {**BASE, "kvCache": {"dtype": "fp8"}}
    asked = {**BASE, "kvCache": {"dtype": "fp8", "admission": admission}}
    assert pod_hashes(asked, WITH_AGENTS) == pod_hashes(plain, WITH_AGENTS)


@pytest.mark.parametrize(
    "retention",
    [{}, {"mode": "Off"}, {"budgetTokens": 512, "policy": "KeyNorm", "qualityClass": "Full"}],
    ids=str,
)
def test_retention_that_no_mode_was_asked_for_is_no_request_for_other_pods(retention: Any) -> None:
    plain = {**BASE, "kvCache": {"dtype": "auto"}}
    asked = {**BASE, "kvCache": {"dtype": "auto", "retention": retention}}
    assert pod_hashes(asked, WITH_AGENTS) == pod_hashes(plain, WITH_AGENTS)
