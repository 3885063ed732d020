"""What a service does without: the optional APIs, a webhook that answers, the operator itself."""

from pathlib import Path
from typing import Any

import pytest

from loadline_api import names
from testbed import charts
from testbed.api_callers import eventually, refusal
from testbed.cluster.bed import Bed
from testbed.doubles.operators import LoneOperator, pods_of, says, service

OPTIONAL = (
    "gateway.networking.k8s.io",
    "inference.networking.k8s.io",
    "keda.sh",
    "leaderworkerset.x-k8s.io",
    "monitoring.coreos.com",
    "serving.kserve.io",
)
EVERYTHING: dict[str, Any] = {
    "replicas": 2,
    "prefill": {"perDecode": "0.5"},
    "router": {"replicas": 2},
    "scaling": {"maxReplicas": 4},
    "slo": {"itlMs": 50},
    "power": {"maxWatts": 300},
    "experts": {},
    "kvCache": {"dtype": "fp8"},
    "priority": 0,
}
FAILED = 'loadline_operator_reconciles_total{loop="services",result="failed"}'

ASKED_BY_THE_SERVER = frozenset(
    {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"}
)
"""Kinds that have the API server ask somebody else before it answers."""


@pytest.mark.parametrize("values", [None, *charts.VALUES], ids=lambda file: file.stem if file else "defaults")
def test_the_api_server_asks_nobody_but_itself(values: Path | None) -> None:
    objects = charts.rendered(charts.read(values) if values else None)
    kinds = {one["kind"] for one in objects}
    assert "ValidatingAdmissionPolicy" in kinds, "rules are the API server's own"
    assert not kinds & ASKED_BY_THE_SERVER
    definitions = [one["spec"] for one in objects if one["kind"] == "CustomResourceDefinition"]
    assert definitions
    assert not [spec for spec in definitions if spec.get("conversion", {}).get("strategy") == "Webhook"]


@pytest.mark.cluster
def test_a_service_needs_none_of_the_optional_apis(pier: Bed, operator: LoneOperator, namespace: str) -> None:
    groups = {one["name"] for one in pier.client.get("/apis")["groups"]}
    assert groups.isdisjoint(OPTIONAL)
    failed = operator.metric(FAILED)
    pier.apply([service("chat", namespace=namespace, **EVERYTHING)])
    eventually(lambda: says(pier, "chat", "Ready", namespace=namespace, status="True"))
    assert operator.metric(FAILED) == failed


@pytest.mark.cluster
def test_while_the_operator_is_away_manifests_are_taken_refused_and_scaled(
    pier: Bed, operator: LoneOperator, namespace: str
) -> None:
    pier.apply([service("old", namespace=namespace)])
    eventually(lambda: says(pier, "old", "Ready", namespace=namespace, status="True"))
    (before,) = pods_of(pier, name="old", namespace=namespace)
    operator.stop()
    try:
        pier.apply([service("new", namespace=namespace)])
        bad = service("bad", namespace=namespace, model={"uri": "ftp://org/llm"})
        refusal(lambda: pier.apply([bad]), by="begin it with hf://")
        pier.kubectl("scale", "llsvc/new", "--replicas=2", "-n", namespace)
        (after,) = pods_of(pier, name="old", namespace=namespace)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert "status" not in pier.client.get(names.INFERENCE_SERVICES.path("new", namespace=namespace))
    finally:
        operator.start()
    eventually(lambda: says(pier, "new", "Ready", namespace=namespace, status="True"))
    assert len(pods_of(pier, name="new", namespace=namespace)) == 2
