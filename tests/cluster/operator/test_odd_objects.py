"""Objects with odd texts, mistakes that are refused twice, and domains that go: none costs a failure."""

from collections.abc import Callable
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, says, service

pytestmark = pytest.mark.cluster

FAILED = "a reconcile failed and will be tried again"


def with_env(**variable: Any) -> Object:
    return {"template": {"containers": [{"name": "vllm", "env": [{"name": "GREETING", **variable}]}]}}


def test_an_emoji_in_a_template_reaches_the_engine(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    harbour.apply([service("emoji", namespace=namespace, **with_env(value="hi 🚀"))])

    def arrived() -> None:
        made = harbour.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/emoji")
        (engine,) = made["spec"]["template"]["spec"]["containers"]
        assert {"name": "GREETING", "value": "hi 🚀"} in engine["env"]

    eventually(arrived)


def test_an_emoji_of_somebody_elses_controller_reaches_the_status(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    """Its condition is written again and again, since the Deployment's own controller takes it back."""
    labels = {"app": "theirs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "vllm", "image": "theirs"}]}}
    spec = {"paused": True, "replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    head = {"apiVersion": "apps/v1", "kind": "Deployment"}
    harbour.apply([{**head, "metadata": {"name": "theirs", "namespace": namespace}, "spec": spec}])
    ref = {**head, "name": "theirs"}
    harbour.apply([service("mine", namespace=namespace, workloadRef=ref)])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/theirs/status"
    told = {"type": "ReplicaFailure", "status": "True", "reason": "Boom", "message": "model 🚀\x07 failed"}

    def written() -> None:
        harbour.client.patch(path, {"status": {"conditions": [told]}})
        found = says(harbour, "mine", "Ready", namespace=namespace, status="False")
        assert r"model 🚀\x07 failed" in found["message"]

    eventually(written)


def test_a_mistake_that_is_refused_twice_is_told_once(
    harbour: Bed, operator: LoneOperator, namespace: str
) -> None:
    harbour.apply([service("flap", namespace=namespace, **with_env(value=1))])

    def refused() -> Object:
        return says(harbour, "flap", "Ready", namespace=namespace, reason="TemplateRefused")

    eventually(refused)
    first = refused()
    path = names.INFERENCE_SERVICES.path("flap", namespace=namespace)
    written = harbour.client.get(path)["metadata"]["managedFields"]
    for number in range(30):
        harbour.client.patch(path, {"metadata": {"annotations": {"example.com/again": str(number)}}})
    operator.restart()
    for number in range(30):
        harbour.client.patch(path, {"metadata": {"annotations": {"example.com/again": f"more-{number}"}}})
        assert refused() == first
    of_status = [one for one in harbour.client.get(path)["metadata"]["managedFields"] if "subresource" in one]
    assert of_status == [one for one in written if "subresource" in one], "no write of the status came after"


def test_domains_that_are_deleted_in_a_row_fail_nothing(
    harbour: Bed, operator: LoneOperator, row: Callable[[str], Any]
) -> None:
    going = row("going")
    going.add(2)
    domains = [going.domain(budget=20_000 + number, name=f"going-{number}") for number in range(12)]
    harbour.apply(domains)
    for domain in domains:
        harbour.client.delete(names.POWER_DOMAINS.path(domain["metadata"]["name"]))
    harbour.apply([going.domain(budget=30_000, name="stays")])

    def told() -> None:
        found = harbour.client.get(names.POWER_DOMAINS.path("stays")).get("status") or {}
        assert found.get("conditions")

    eventually(told)
    harbour.client.delete(names.POWER_DOMAINS.path("stays"))
    assert [one for one in operator.logged(FAILED) if "going-" in one["object"]] == []
