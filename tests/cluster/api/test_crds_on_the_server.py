"""The generated CRDs as the API server takes them: structural, explained, scalable."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import DEFAULT_POWER_POLICY, RESOURCES, Resource
from loadline_api.power_domains import PowerDomain
from testbed.cluster.bed import Bed


def undescribed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        if name == "metadata" and not path:
            continue
        if not field.get("description"):
            yield here
        yield from undescribed(field, here)
        yield from undescribed(field.get("items", {}), f"{here}[]")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_crd_is_established_and_structural(charted: Bed, resource: Resource) -> None:
    crd = charted.client.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource.full_name}")
    conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_published_field_is_described(charted: Bed, resource: Resource) -> None:
    # The OpenAPI document is put together a moment after the CRD is established.
    deadline_s = time.monotonic() + 20.0
    kinds: list[dict[str, Any]] = []
    while not kinds and time.monotonic() < deadline_s:
        published = charted.client.get(f"/openapi/v3/apis/{names.GROUP}/{names.VERSION}")
        kinds = [
            one for key, one in published["components"]["schemas"].items() if key.endswith(resource.kind)
        ]
        time.sleep(0.0 if kinds else 0.1)
    (schema,) = kinds
    assert list(undescribed(schema)) == []
    assert schema["properties"]["spec"]["properties"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("powerdomains.loadline.dev.spec.breaker.curve.percent", "budgetWatts"),
        ("inferenceservices.loadline.dev.spec.slo.ttftMs", "milliseconds"),
        ("inferenceservices.loadline.dev.spec.template.remove.path", "resources.limits[nvidia.com/gpu]"),
        ("nodecapacities.loadline.dev.status.gpus.enforcedWatts", "read back"),
    ],
)
def test_kubectl_explains_a_field(charted: Bed, path: str, word: str) -> None:
    plural, _, field = path.partition(".loadline.dev.")
    told = charted.kubectl("explain", f"{plural}.{field}", "--api-version", names.API_VERSION)
    assert word in told
    assert "no description" not in told


def test_short_names_and_the_category_are_known(charted: Bed) -> None:
    for resource in RESOURCES:
        charted.kubectl("get", resource.short_name, "--all-namespaces")
    listed = charted.kubectl("api-resources", "--categories", names.CATEGORY, "--output", "name")
    assert set(listed.split()) == {resource.full_name for resource in RESOURCES}


def test_a_domain_gets_its_defaults_and_reads_back(charted: Bed) -> None:
    spec = {
        "budgetWatts": 243_200,
        "nodeSelector": {"matchLabels": {"row": "none"}},
        "hostWatts": {"max": 2600},
    }
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "PowerDomain",
        "metadata": {"name": "defaults"},
        "spec": spec,
    }
    created = charted.client.create(f"{names.POWER_DOMAINS.path()}?dryRun=All", body)
    assert created["spec"]["mode"] == "Observe"
    assert created["spec"]["policyRef"] == {"name": DEFAULT_POWER_POLICY}
    assert created["spec"]["leaseSeconds"] == 4
    domain = PowerDomain.parse(created)
    assert domain.spec == PowerDomain.parse(body).spec
    assert domain.spec.breaker.to_curve().trip_s(1.05) == float("inf")


def test_a_service_is_scaled_by_its_scale_subresource(charted: Bed, namespace: str) -> None:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": "chat"},
        "spec": {"model": {"uri": "hf://org/model"}},
    }
    path = names.INFERENCE_SERVICES.path(namespace=namespace)
    charted.client.create(path, body)
    status = {"status": {"replicas": 1, "readyReplicas": 1, "selector": "loadline.dev/service=chat"}}
    charted.client.patch(f"{path}/chat/status", status)
    charted.kubectl(
        "scale", "inferenceservices.loadline.dev/chat", "--replicas", "3", "--namespace", namespace
    )
    scale = charted.client.get(f"{path}/chat/scale")
    assert scale["spec"]["replicas"] == 3
    assert scale["status"] == {"replicas": 1, "selector": "loadline.dev/service=chat"}


def test_a_service_is_listed_with_its_columns(charted: Bed, namespace: str) -> None:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": "code"},
        "spec": {"model": {"uri": "hf://org/model"}, "priority": -5},
    }
    charted.client.create(names.INFERENCE_SERVICES.path(namespace=namespace), body)
    header, row = charted.kubectl("get", "llsvc", "--namespace", namespace).splitlines()
    columns = ["NAME", "READY", "REASON", "WORKLOAD", "DESIRED", "AVAILABLE", "PRIORITY", "CAPPED", "AGE"]
    assert header.split() == columns
    assert row.split()[:2] == ["code", "-5"], "what nobody has told yet is not shown as a count"
