"""A service with kvCache.retention: what its nodes report in its status, and what an upgrade leaves alone."""

import time
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, lines_of, says, service, status_of, warnings_of, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

ENFORCE: Object = {"kvCache": {"retention": {"mode": "Enforce", "budgetTokens": 512}}}
BOUNDED: Object = {"engines": 1, "boundingEngines": 1, "budgetTokens": 512, "reason": "Bounded"}


def shown(bed: Bed, namespace: str) -> Object:
    found: Object = status_of(bed, name="chat", namespace=namespace).get("kvCache", {}).get("retention", {})
    return found


def shows(bed: Bed, namespace: str, **wanted: object) -> None:
    found = shown(bed, namespace)
    assert {key: found.get(key) for key in wanted} == wanted, found


def shows_none(bed: Bed, namespace: str) -> None:
    assert "kvCache" not in status_of(bed, name="chat", namespace=namespace)


def has_warned(bed: Bed, namespace: str, reason: str) -> None:
    assert reason in warnings_of(bed, name="chat", namespace=namespace)


def test_what_nodes_report_of_retention_is_put_together(
    harbour: Bed, operator: LoneOperator, row: Any, namespace: str
) -> None:
    def tell(node: str, **told: Any) -> None:
        part = {"retention": {**BOUNDED, **told}}
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1, "kvCache": part}])

    def active(status: str, reason: str) -> None:
        says_so = partial(says, harbour, "chat", "RetentionActive", namespace=namespace)
        eventually(lambda: says_so(status=status, reason=reason))

    one = row("kept")
    first, second = one.add(2)
    harbour.apply([service("chat", namespace=namespace, **ENFORCE)])
    active("Unknown", "NotTold")
    shows_none(harbour, namespace)

    tell(first, foldedTokens=9000, boundedRequests=40, prefixHitPercent=3)
    tell(second, foldedTokens=100, budgetTokens=256, reason="LastRung", advice="run more replicas")
    active("True", "LastRung")
    shows(harbour, namespace, engines=2, boundingEngines=2, budgetTokens=256, foldedTokens=9100)
    shows(harbour, namespace, boundedRequests=40, advice="run more replicas", refusedSpans=None)

    since = lines_of(harbour)
    tell(first, foldedTokens=9100, boundedRequests=41, prefixHitPercent=4)
    time.sleep(1.0)  # small moves of figures move nothing
    assert [each for each in written(harbour, since) if namespace in each[1]] == []

    tell(first, boundingEngines=0, reason="EngineUnable")
    active("False", "EngineUnable")
    eventually(partial(has_warned, harbour, namespace, "EngineUnable"))

    for node in (first, second):
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1}])
    eventually(partial(shows_none, harbour, namespace))
    active("Unknown", "NotTold")


def test_a_kv_cache_of_the_version_before_has_no_condition_of_retention(harbour: Bed, namespace: str) -> None:
    cache = {"policyRef": {"name": "careful"}, "admission": {"mode": "Observe"}}
    harbour.apply([service("chat", namespace=namespace, kvCache=cache)])
    eventually(lambda: says(harbour, "chat", "AdmissionPredicted", namespace=namespace, reason="NotTold"))
    status = status_of(harbour, name="chat", namespace=namespace)
    assert "RetentionActive" not in status["conditions"]
    assert {one["loop"] for one in status["policies"]} == {"kv"}
    stored = harbour.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    assert "retention" not in stored["spec"]["kvCache"]


def test_retention_that_is_off_is_said_to_be(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, kvCache={"retention": {}})])
    eventually(lambda: says(harbour, "chat", "RetentionActive", namespace=namespace, reason="NotAsked"))
    status = status_of(harbour, name="chat", namespace=namespace)
    assert {one["loop"] for one in status["policies"]} == {"kv", "kv-retention"}
