"""A service with kvCache.admission: what its nodes report in its status, and what an upgrade leaves alone."""

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

ENFORCE: Object = {"kvCache": {"admission": {"mode": "Enforce"}}}
DECIDED: Object = {"engines": 1, "enforcingEngines": 1, "warmEngines": 1, "reason": "Predicting"}


def shown(bed: Bed, namespace: str) -> Object:
    found: Object = status_of(bed, name="chat", namespace=namespace).get("kvCache", {}).get("admission", {})
    return found


def shows(bed: Bed, namespace: str, **wanted: object) -> None:
    found = shown(bed, namespace)
    assert {key: found.get(key) for key in wanted} == wanted, found


def shows_none(bed: Bed, namespace: str) -> None:
    assert "kvCache" not in status_of(bed, name="chat", namespace=namespace)


def has_warned(bed: Bed, namespace: str, reason: str) -> None:
    assert reason in warnings_of(bed, name="chat", namespace=namespace)


def test_what_nodes_report_of_admission_is_put_together(
    harbour: Bed, operator: LoneOperator, row: Any, namespace: str
) -> None:
    def tell(node: str, **told: Any) -> None:
        part = {"admission": {**DECIDED, **told}}
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1, "kvCache": part}])

    def predicted(status: str, reason: str) -> None:
        says_so = partial(says, harbour, "chat", "AdmissionPredicted", namespace=namespace)
        eventually(lambda: says_so(status=status, reason=reason))

    one = row("kv")
    first, second = one.add(2)
    harbour.apply([service("chat", namespace=namespace, **ENFORCE)])
    predicted("Unknown", "NotTold")
    shows_none(harbour, namespace)

    tell(first, knownRequests=400, refusals=100, preemptions=0, usedPercent=60)
    tell(second, knownRequests=9, refusals=20, reason="FewLengths", warmEngines=0, usedPercent=80)
    predicted("False", "FewLengths")
    shows(harbour, namespace, engines=2, warmEngines=1, knownRequests=9, refusals=120, preemptions=0)
    assert "preemptedTokens" not in shown(harbour, namespace), "no node knows it"

    tell(second, knownRequests=60, refusals=25, usedPercent=80)
    predicted("True", "Predicting")
    since = lines_of(harbour)
    tell(second, knownRequests=61, refusals=27, usedPercent=83)
    time.sleep(1.0)  # small moves of figures move nothing
    assert [each for each in written(harbour, since) if namespace in each[1]] == []

    tell(first, reason="PluginFailed", enforcingEngines=0)
    predicted("False", "PluginFailed")
    eventually(partial(has_warned, harbour, namespace, "PluginFailed"))

    for node in (first, second):
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1}])
    eventually(partial(shows_none, harbour, namespace))
    predicted("Unknown", "NotTold")


def test_a_kv_cache_of_the_version_before_has_no_condition_and_needs_no_plugin(
    harbour: Bed, namespace: str
) -> None:
    """A spec of the chart before has policyRef and dtype only; a mode above Off would restart its engines."""
    cache = {"policyRef": {"name": "careful"}, "dtype": "fp8"}
    harbour.apply([service("chat", namespace=namespace, kvCache=cache)])
    eventually(lambda: says(harbour, "chat", "PluginMissing", namespace=namespace, reason="NotAsked"))
    status = status_of(harbour, name="chat", namespace=namespace)
    assert "AdmissionPredicted" not in status["conditions"]
    stored = harbour.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    assert stored["spec"]["kvCache"] == cache


def test_admission_that_is_off_is_said_to_be(harbour: Bed, namespace: str) -> None:
    harbour.apply([service("chat", namespace=namespace, kvCache={"admission": {}})])
    eventually(lambda: says(harbour, "chat", "AdmissionPredicted", namespace=namespace, reason="NotAsked"))
    stored = harbour.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    assert stored["spec"]["kvCache"]["admission"] == {"mode": "Off"}
