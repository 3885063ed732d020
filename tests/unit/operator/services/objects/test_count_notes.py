"""Numbers of a spec that contradict each other are told; more than a pool may have is not made."""

from typing import Any

import pytest

from loadline_api.inference_services import InferenceService
from loadline_operator.services.objects.count_notes import count_notes
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe


def service(**spec: Any) -> InferenceService:
    metadata = {"name": "chat", "namespace": "serving", "uid": "u"}
    return InferenceService.parse({"metadata": metadata, "spec": {"model": {"uri": "hf://org/llm"}, **spec}})


def told(*, defaults: Defaults | None = None, **spec: Any) -> tuple[str, ...]:
    return count_notes(describe(service(**spec), defaults or Defaults()))


def sizes(**spec: Any) -> dict[str, int]:
    return {pool.name: pool.replicas for pool in describe(service(**spec), Defaults()).pools}


FLOOD: dict[str, Any] = {"replicas": 10_000, "prefill": {"perDecode": "9999"}, "router": {}}


def test_a_flood_that_was_stored_before_is_bounded_and_told() -> None:
    assert sizes(**FLOOD) == {"main": 10_000, "prefill": 10_000}
    assert told(**FLOOD) == (
        "prefill gets 10000 replicas instead of 99990000, because a pool has at most 10000 pods: lower"
        " replicas or prefill.perDecode",
    )


def test_groups_of_nodes_are_bounded_by_their_pods() -> None:
    wide: dict[str, Any] = {"replicas": 10_000, "parallelism": {"tensor": 1024, "nodes": 1024}}
    assert sizes(**wide) == {"main": 9}
    assert told(**wide) == (
        "main gets 9 replicas instead of 10000 of 1024 nodes, because a pool has at most 10000 pods: lower"
        " replicas or parallelism.nodes",
    )
    own = {"replicas": 5000, "parallelism": {"tensor": 4, "nodes": 4}}
    assert sizes(prefill=own, router={}) == {"main": 1, "prefill": 2500}
    assert "lower prefill.replicas or parallelism.nodes" in told(prefill=own, router={})[0]


@pytest.mark.parametrize("spec", [{}, {"replicas": 10_000}, {**FLOOD, "prefill": {"perDecode": "1"}}])
def test_what_a_pool_may_have_is_made(spec: dict[str, Any]) -> None:
    assert told(**spec) == ()
    assert sizes(**spec)["main"] == spec.get("replicas", 1)


def gpus(amount: object, resource: str = "nvidia.com/gpu", **more: Any) -> dict[str, Any]:
    limits = {"resources": {"limits": {resource: amount}}}
    return {"template": {"containers": [{"name": "vllm", **limits, **more}]}}


def test_gpus_of_a_template_that_the_engine_will_not_use_or_lacks_are_told() -> None:
    assert told(parallelism={"tensor": 8}, **gpus("2")) == (
        "main: the template requests 2 nvidia.com/gpu for vllm, but parallelism uses 8 (tensor 8 × pipeline 1"
        " × data 1): remove the number from the template, or make the two equal",
    )
    (note,) = told(parallelism={"tensor": 4, "nodes": 2}, **gpus(8))
    assert "8 nvidia.com/gpu for vllm in each of 2 pods (16 in all), but parallelism uses 4" in note
    (note,) = told(parallelism={"data": 2}, **gpus(1))
    assert "parallelism uses 2 (tensor 1 × pipeline 1 × data 2)" in note


def test_the_clusters_own_gpus_are_meant() -> None:
    amd = Defaults(gpu_resource="amd.com/gpu")
    assert told(defaults=amd, **gpus(4)) == ()
    assert "4 amd.com/gpu" in told(defaults=amd, **gpus(4, "amd.com/gpu"))[0]


@pytest.mark.parametrize("amount", ["1", 1, "1000m", "0", "lots", None, [1], "1e99"])
def test_gpus_that_agree_or_are_none_or_no_number_are_not_told(amount: object) -> None:
    assert told(**gpus(amount)) == ()


def test_with_other_arguments_nobody_knows_what_the_engine_uses() -> None:
    assert told(**gpus(8, args=["--tensor-parallel-size=8"])) == ()


def test_each_pool_is_told_apart() -> None:
    own = {"replicas": 1, "parallelism": {"tensor": 2}}
    notes = told(parallelism={"tensor": 4}, prefill=own, router={}, **gpus(4))
    assert [note.partition(":")[0] for note in notes] == ["prefill"]
