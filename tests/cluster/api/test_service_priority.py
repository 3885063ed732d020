"""A priority above the default needs the right to use it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import Caller, bound_account, eventually
from testbed.cluster.bed import Bed

PATH = names.INFERENCE_SERVICES.path(namespace="default")


def service(name: str, priority: int) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"model": {"uri": "hf://org/model"}, "priority": priority},
    }


@pytest.fixture(scope="module", autouse=True)
def in_force(tenant: Caller) -> None:
    """Wait until the policy refuses what it must."""
    eventually(lambda: tenant.refusal("POST", PATH, service("chat", 5), by="spec.priority"))


@pytest.fixture
def high(admin: Caller) -> Iterator[dict[str, Any]]:
    """A service of high priority, made by somebody who may."""
    yield admin.send("POST", PATH, body=service("admirals", 100))
    admin.send("DELETE", f"{PATH}/admirals")


def test_a_tenant_may_not_outrank_others(tenant: Caller) -> None:
    sentence = tenant.refusal("POST", PATH, service("chat", 5))
    assert "spec.priority is 5, above 0, the highest that every user may set: lower it" in sentence
    assert "loadline-priority" in sentence


@pytest.mark.parametrize("priority", [0, -10])
def test_a_tenant_may_stay_below(tenant: Caller, priority: int) -> None:
    tenant.send("POST", PATH, body=service("chat", priority), dryRun="All")


def test_an_edit_keeps_or_lowers_a_granted_priority(tenant: Caller, high: dict[str, Any]) -> None:
    for priority in (100, 50):
        edited = {**high, "spec": {**high["spec"], "replicas": 2, "priority": priority}}
        tenant.send("PUT", f"{PATH}/admirals", body=edited, dryRun="All")


def test_an_edit_may_not_raise_it(tenant: Caller, high: dict[str, Any]) -> None:
    raised = {**high, "spec": {**high["spec"], "priority": 101}}
    assert "spec.priority is 101" in tenant.refusal("PUT", f"{PATH}/admirals", raised)


def test_the_right_is_granted_by_a_role(charted: Bed, caller: Callable[..., Caller]) -> None:
    charted.apply(bound_account("commodore", "tenant"))
    commodore = caller("commodore", namespace="default")
    eventually(lambda: commodore.refusal("POST", PATH, service("chat", 5), by="spec.priority"))
    charted.apply(bound_account("commodore", "loadline-priority"))
    eventually(lambda: commodore.send("POST", PATH, body=service("chat", 5), dryRun="All"))
