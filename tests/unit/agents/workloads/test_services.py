"""What a node needs of the services that may have pods on it."""

from typing import Any

import pytest

from loadline_agent.workloads.engine_endpoints import EngineEndpoint
from loadline_agent.workloads.objectives import Objectives
from loadline_agent.workloads.services import labels_of, service_of
from loadline_api.kv_cache import Admission
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop


def service(selector: str = "", **spec: Any) -> dict[str, Any]:
    declared = spec or {"model": {"uri": "hf://org/name"}}
    return {
        "metadata": {"name": "chat", "namespace": "prod"},
        "spec": declared,
        "status": {"selector": selector},
    }


REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}


def test_objectives_are_in_seconds() -> None:
    slo = {"ttftMs": 500, "itlMs": 50, "percentile": 95}
    found = service_of(service(model={"uri": "hf://org/name"}, slo=slo))
    assert found.objectives == Objectives(ttft_s=0.5, itl_s=0.05, percentile=95)


def test_a_service_without_objectives_has_none() -> None:
    assert not service_of(service()).objectives.any


def test_an_attached_service_selects_pods_by_labels() -> None:
    found = service_of(service("app=theirs,tier==gpu", workloadRef=REF))
    assert found.selector == {("app", "theirs"), ("tier", "gpu")}


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, "https://10.0.0.9:8200/m"),
        ({"port": 9000}, "https://10.0.0.9:9000/m"),
        ({"scheme": "HTTP"}, "http://10.0.0.9:8200/m"),
        ({"port": 9000, "scheme": "HTTP", "path": "/stats"}, "http://10.0.0.9:9000/stats"),
    ],
)
def test_what_an_attached_service_says_of_its_engines_goes_before_their_pods(
    said: dict[str, Any], url: str
) -> None:
    found = service_of(service("app=theirs", workloadRef=REF | {"metrics": said}))
    told = EngineEndpoint(port=8200, scheme="https", path="/m")
    assert found.endpoint(told).url("10.0.0.9") == url


def test_our_own_pods_are_known_by_their_label_only() -> None:
    assert service_of(service("app=theirs")).selector == frozenset()


def test_a_status_that_counts_replicas_is_no_change() -> None:
    before, after = service("app=theirs", workloadRef=REF), service("app=theirs", workloadRef=REF)
    after["status"] |= {"replicas": 3, "readyReplicas": 2}
    assert service_of(before) == service_of(after)


@pytest.mark.parametrize("made", [{"model": {"uri": "hf://org/name"}}, {"workloadRef": REF}], ids=list)
def test_a_service_asks_for_the_loops_that_its_spec_has_a_part_for(made: dict[str, Any]) -> None:
    found = service_of(service(**made, experts={}, kvCache={"policyRef": {"name": "mine"}}))
    assert found.loops == ((Loop.EXPERTS, None), (Loop.KV, "mine"))
    assert service_of(service(**made)).loops == ()


@pytest.mark.parametrize("made", [{"model": {"uri": "hf://org/name"}}, {"workloadRef": REF}], ids=list)
def test_what_a_service_asks_of_admission_is_known(made: dict[str, Any]) -> None:
    asked = {"mode": "Enforce", "estimator": "Buckets", "reservePercent": 9}
    found = service_of(service(**made, kvCache={"admission": asked}))
    assert found.admission.to_api() == asked
    assert service_of(service(**made, kvCache={"dtype": "fp8"})).admission == Admission()


@pytest.mark.parametrize("selector", ["app in (a,b)", "app!=x", "app", "!app"])
def test_a_selector_of_more_than_equalities_is_refused(selector: str) -> None:
    with pytest.raises(InvalidInput, match="use equalities"):
        labels_of(selector)
