"""Policies of services: where they are looked for, how fast an edit is in force, and what breaks nothing."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_policies.documents import SCHEMA, built_in, parse
from loadline_policies.loops import Loop
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.doubles.operators import LoneOperator, says, service, status_of, warnings_of

pytestmark = pytest.mark.cluster

GOOD = f"schema: {SCHEMA}\nloop: kv\npolicy: keep-all\n"
BROKEN = f"{GOOD}settings: {{speed: 11}}\n"
DEFAULT = names.default_policy(Loop.KV)

Write = Callable[[str, str, str], None]


@pytest.fixture
def write(harbour: Bed, operator: LoneOperator) -> Iterator[Write]:
    """Write a document of the KV loop: namespace, name, text. Those of the system namespace go again."""
    made: set[str] = set()

    def write(namespace: str, name: str, text: str, loop: str = "kv") -> None:
        metadata = {"name": name, "namespace": namespace, "labels": {names.POLICY_LABEL: loop}}
        data = {names.POLICY_KEY: text}
        harbour.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
        if namespace == names.SYSTEM_NAMESPACE:
            made.add(name)

    yield write
    for name in made:
        harbour.client.delete(f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{name}")


@pytest.fixture
def without_default(harbour: Bed) -> Iterator[None]:
    """The chart's own document of the loop is away."""
    path = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/{DEFAULT}"
    shipped = harbour.client.get(path)
    harbour.client.delete(path)
    yield
    metadata = {key: shipped["metadata"].get(key) for key in ("name", "namespace", "labels", "annotations")}
    harbour.apply([{**shipped, "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}])


def in_force(bed: Bed, namespace: str) -> str:
    """Where the policy of `chat` is from."""
    policies = status_of(bed, name="chat", namespace=namespace).get("policies", ())
    assert [(one["loop"], one["hash"]) for one in policies] == [("kv", parse(GOOD).hash)]
    (one,) = policies
    return f"{one['namespace']}/{one['name']}" if "name" in one else "built in"


def goes_by(bed: Bed, namespace: str, where: str) -> None:
    assert in_force(bed, namespace) == where


def valid(bed: Bed, *, namespace: str, so: bool, reason: str) -> dict[str, Any]:
    return says(bed, "chat", "PolicyValid", namespace=namespace, status=str(so), reason=reason)


def has_warned(bed: Bed, namespace: str, name: str, reason: str) -> None:
    assert reason in warnings_of(bed, name=name, namespace=namespace)


@pytest.mark.usefixtures("without_default")
def test_without_a_document_the_built_in_policy_is_named(harbour: Bed, operator: Any, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, kvCache={})])
    eventually(lambda: valid(harbour, namespace=namespace, so=True, reason="BuiltIn"))
    assert in_force(harbour, namespace) == "built in"
    assert parse(GOOD).hash == built_in(Loop.KV).hash


def test_a_service_that_asks_for_no_loop_has_no_policy(harbour: Bed, operator: Any, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace)])
    eventually(lambda: says(harbour, "chat", "PluginMissing", namespace=namespace))
    status = status_of(harbour, name="chat", namespace=namespace)
    assert "policies" not in status
    assert "PolicyValid" not in status["conditions"]


def test_the_charts_document_is_in_force_where_none_is_named(
    harbour: Bed, operator: Any, namespace: str
) -> None:
    harbour.apply([service("chat", namespace=namespace, kvCache={})])
    eventually(lambda: valid(harbour, namespace=namespace, so=True, reason="Parsed"))
    (policy,) = status_of(harbour, name="chat", namespace=namespace)["policies"]
    assert (policy["namespace"], policy["name"]) == (names.SYSTEM_NAMESPACE, DEFAULT)


@pytest.mark.usefixtures("without_default")
def test_the_namespaces_own_policy_wins_and_each_edit_is_in_force_within_two_seconds(
    harbour: Bed, tenant: str, namespace: str, write: Write
) -> None:
    for place in (tenant, namespace):
        harbour.apply([service("chat", namespace=place, kvCache={})])
        eventually(partial(goes_by, harbour, place, "built in"))
    took_s = []
    for place in (names.SYSTEM_NAMESPACE, tenant):
        where = f"{place}/{DEFAULT}"
        start_s = time.monotonic()
        write(place, DEFAULT, GOOD)
        eventually(partial(goes_by, harbour, tenant, where))
        took_s.append(time.monotonic() - start_s)
    assert max(took_s) < 2.0, took_s
    assert in_force(harbour, namespace) == f"{names.SYSTEM_NAMESPACE}/{DEFAULT}"
    harbour.client.delete(f"/api/v1/namespaces/{tenant}/configmaps/{DEFAULT}")
    eventually(lambda: goes_by(harbour, tenant, f"{names.SYSTEM_NAMESPACE}/{DEFAULT}"))


def test_a_broken_edit_keeps_the_last_good_policy_also_over_a_restart(
    harbour: Bed, operator: LoneOperator, tenant: str, write: Write
) -> None:
    harbour.apply([service("chat", namespace=tenant, kvCache={"policyRef": {"name": "mine"}})])
    write(tenant, "mine", GOOD)
    eventually(lambda: valid(harbour, namespace=tenant, so=True, reason="Parsed"))
    refusals = operator.metric("loadline_operator_policy_refusals_total")
    start_s = time.monotonic()
    write(tenant, "mine", BROKEN)
    eventually(lambda: valid(harbour, namespace=tenant, so=False, reason="PolicyInvalid"))
    assert time.monotonic() - start_s < 2.0
    assert in_force(harbour, tenant) == f"{tenant}/mine"
    text = valid(harbour, namespace=tenant, so=False, reason="PolicyInvalid")["message"]
    assert "settings.speed is 11: remove it" in text
    assert operator.metric("loadline_operator_policies_invalid") == 1
    assert operator.metric("loadline_operator_policy_refusals_total") == refusals + 1
    for name in ("mine", "chat"):
        eventually(partial(has_warned, harbour, tenant, name, "PolicyInvalid"))
    series = 'loadline_operator_services{condition="PolicyValid",status="False"}'
    assert operator.metric(series) == 1
    operator.restart()
    valid(harbour, namespace=tenant, so=False, reason="PolicyInvalid")
    assert in_force(harbour, tenant) == f"{tenant}/mine"
    write(tenant, "mine", GOOD)
    eventually(lambda: valid(harbour, namespace=tenant, so=True, reason="Parsed"))


def test_a_name_that_leads_nowhere_is_told_and_restarts_nothing(
    harbour: Bed, namespace: str, write: Write
) -> None:
    write(names.SYSTEM_NAMESPACE, "mine", GOOD)
    harbour.apply([service("chat", namespace=namespace, kvCache={"policyRef": {"name": "mine"}})])
    eventually(lambda: says(harbour, "chat", "Ready", namespace=namespace, status="True"))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/chat"
    before = harbour.client.get(path)["metadata"]["generation"]
    harbour.apply([service("chat", namespace=namespace, kvCache={"policyRef": {"name": "mien"}})])
    text = "policyRef.name is mien: no ConfigMap of that name labelled loadline.dev/policy: kv is in"
    eventually(lambda: valid(harbour, namespace=namespace, so=False, reason="PolicyMissing"))
    assert text in valid(harbour, namespace=namespace, so=False, reason="PolicyMissing")["message"]
    assert in_force(harbour, namespace) == f"{names.SYSTEM_NAMESPACE}/mine"
    eventually(lambda: has_warned(harbour, namespace, "chat", "PolicyMissing"))
    says(harbour, "chat", "Ready", namespace=namespace, status="True")
    assert harbour.client.get(path)["metadata"]["generation"] == before


def test_a_power_policy_of_a_tenant_is_refused_where_it_lies(
    harbour: Bed, operator: LoneOperator, tenant: str, write: Any
) -> None:
    write(tenant, "greedy", GOOD.replace("kv", "power").replace("keep-all", "no-cap"), "power")
    eventually(lambda: has_warned(harbour, tenant, "greedy", "PolicyInvalid"))
    assert operator.metric("loadline_operator_policies_invalid") == 1


def test_a_namespace_that_is_not_there_keeps_nobody_from_starting(operator: LoneOperator) -> None:
    assert operator.readiness()[0] == 200
    (line,) = (one for one in operator.logged("a kind can't be watched now") if one["where"] == "not-there")
    assert "forbidden" in line["error"]
