"""What was stored before a rule was there goes on: its status is written, and it can be put right."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadline_api import generate, names
from loadline_api.generate import DEFINITIONS
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError

STORED: dict[str, Object] = {
    "flood": {"replicas": 10_000, "prefill": {"perDecode": "9999"}, "router": {}},
    "wide": {"replicas": 10_000, "parallelism": {"tensor": 1024, "nodes": 1024}},
    "known": {"model": {"uri": "oci://user:hunter2@ghcr.io/org/llama:70b"}},
    "told": {"engine": {"arguments": ["--otlp-traces-endpoint=https://u:hunter2@h:4317"]}},
    "odd": {"template": {"remove": "livenessProbe", "spec": {}}},
}


def manifest(name: str) -> Object:
    spec = {"model": {"uri": "hf://org/llm"}, **STORED[name]}
    head = {"apiVersion": names.API_VERSION, "kind": names.INFERENCE_SERVICES.kind}
    return {**head, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def path(name: str = "") -> str:
    return names.INFERENCE_SERVICES.path(name, namespace="default")


def loosened(node: Any) -> Any:
    """A definition without any rule, and without a word on what a template removes."""
    if isinstance(node, list):
        return [loosened(one) for one in node]
    if not isinstance(node, dict):
        return node
    left = {key: loosened(value) for key, value in node.items() if key != "x-kubernetes-validations"}
    return {key: value for key, value in left.items() if key != "remove"}


@pytest.fixture(scope="module")
def stored(charted: Bed) -> Iterator[Bed]:
    """The bed with services that were stored under a definition without rules, and with today's since."""
    (today,) = (generate.crd(one) for one in DEFINITIONS if one.resource is names.INFERENCE_SERVICES)
    charted.apply([loosened(today)])
    eventually(lambda: charted.apply([manifest(name) for name in STORED]))
    charted.apply([today])
    eventually(lambda: refused(charted))
    yield charted
    for name in STORED:
        charted.client.delete(path(name))


def refused(bed: Bed) -> None:
    """The rules are in force."""
    for name in STORED:
        one = manifest(name)
        one["metadata"]["name"] = f"new-{name}"
        with pytest.raises(ApiError):
            bed.client.create(f"{path()}?dryRun=All", one)


@pytest.mark.parametrize("name", STORED)
def test_the_status_and_other_fields_are_written(stored: Bed, name: str) -> None:
    status = {"replicas": 1, "readyReplicas": 0}
    stored.client.patch(f"{path(name)}/status", {"status": status})
    stored.client.patch(path(name), {"metadata": {"labels": {"team": "blue"}}})
    found = stored.client.get(path(name))
    assert (found["status"]["replicas"], found["metadata"]["labels"]["team"]) == (1, "blue")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("flood", {"prefill": {"perDecode": "0.5"}}),
        ("wide", {"replicas": 1, "parallelism": {"tensor": 8, "nodes": 2}}),
        ("known", {"model": {"uri": "oci://ghcr.io/org/llama:70b"}}),
        ("told", {"engine": {"arguments": ["--otlp-traces-endpoint=$(TRACES)"]}}),
        ("odd", {"template": {"remove": [{"container": "vllm", "path": "livenessProbe"}]}}),
    ],
)
def test_it_can_be_put_right(stored: Bed, name: str, fix: Object) -> None:
    stored.client.patch(path(name), {"spec": fix})


def test_an_autoscaler_is_told_where_a_pool_ends(stored: Bed) -> None:
    spec: Object = {"prefill": {"perDecode": "2"}, "router": {}, "replicas": 1}
    stored.client.patch(path("flood"), {"spec": spec})
    stored.kubectl("scale", "llsvc/flood", "--replicas=5000")
    with pytest.raises(Exception, match=r"replicas is 5001 and prefill\.perDecode is 2, which makes 10002"):
        stored.kubectl("scale", "llsvc/flood", "--replicas=5001")
