"""A service with experts: its engines' pods, what its nodes report in its status, and what is refused."""

import time
from functools import partial
from typing import Any

import pytest

from loadline_api import names
from loadline_policies.documents import SCHEMA
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, lines_of, says, service, status_of, warnings_of, written

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

ENFORCE: Object = {"slo": {"itlMs": 50}, "experts": {"mode": "Enforce"}}
BREACHED = "loadline_operator_experts_guards_breached"
TABLE = [{"gammaPercent": 150, "droppedPermille": 20, "rankLoadPercent": 150, "savingPercent": 30}]


def experts(**told: Any) -> Object:
    return {"engines": 1, "layers": 4, "batches": 300, "expertLoadPercent": 220, "gammas": TABLE, **told}


def shows(bed: Bed, namespace: str, **wanted: object) -> None:
    found = status_of(bed, name="chat", namespace=namespace).get("experts", {})
    assert {key: found.get(key) for key in wanted} == wanted, found


def has_warned(bed: Bed, namespace: str, reason: str) -> None:
    assert reason in warnings_of(bed, name="chat", namespace=namespace)


def test_what_nodes_report_of_experts_is_put_together(
    harbour: Bed, operator: LoneOperator, row: Any, namespace: str
) -> None:
    def tell(node: str, **told: Any) -> None:
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1, "experts": experts(**told)}])

    def bounded(status: str, reason: str) -> None:
        eventually(
            partial(
                says, harbour, "chat", "ExpertsBounded", namespace=namespace, status=status, reason=reason
            )
        )

    one = row("experts")
    first, second = one.add(2)
    harbour.apply([service("chat", namespace=namespace, **ENFORCE)])
    bounded("Unknown", "NotTold")
    says(harbour, "chat", "ExpertsObserved", namespace=namespace, status="Unknown", reason="NotTold")
    assert "experts" not in status_of(harbour, name="chat", namespace=namespace)

    tell(first, reason="ObjectiveMet")
    tell(second, reason="CoolingDown", batches=100, expertLoadPercent=420)
    bounded("False", "CoolingDown")
    says(harbour, "chat", "ExpertsObserved", namespace=namespace, status="True", reason="Counted")
    shows(harbour, namespace, engines=2, layers=4, batches=400, expertLoadPercent=270, gammas=TABLE)

    tell(first, reason="ObjectiveMissed", boundedEngines=1, gammaPercent=150, droppedPermille=18)
    bounded("True", "ObjectiveMissed")
    shows(harbour, namespace, boundedEngines=1, gammaPercent=150, droppedPermille=18)
    assert "GuardBreached" not in warnings_of(harbour, name="chat", namespace=namespace)
    assert operator.metric(BREACHED) == 0

    tell(first, reason="GuardBreached", droppedPermille=140)
    bounded("False", "GuardBreached")
    eventually(partial(has_warned, harbour, namespace, "GuardBreached"))
    assert operator.metric(BREACHED) == 1
    since = lines_of(harbour)
    tell(first, reason="GuardBreached", droppedPermille=140)
    time.sleep(1.0)  # the same again moves nothing
    assert [each for each in written(harbour, since) if namespace in each[1]] == []

    for node in (first, second):
        one.tell([node], services=[{"service": f"{namespace}/chat", "pods": 1}])
    bounded("Unknown", "NotTold")
    eventually(lambda: "experts" not in status_of(harbour, name="chat", namespace=namespace))


def test_experts_of_the_version_before_are_off_and_restart_nothing(harbour: Bed, namespace: str) -> None:
    """A spec of the chart before has policyRef only; a mode above Off would restart its engines."""
    harbour.apply([service("chat", namespace=namespace, experts={"policyRef": {"name": "careful"}})])
    eventually(lambda: says(harbour, "chat", "ExpertsObserved", namespace=namespace, reason="NotAsked"))
    says(harbour, "chat", "ExpertsBounded", namespace=namespace, status="False", reason="NotAllowed")
    stored = harbour.client.get(names.INFERENCE_SERVICES.path("chat", namespace=namespace))
    assert stored["spec"]["experts"]["mode"] == "Off"


def test_a_policy_of_another_loop_is_named(harbour: Bed, tenant: str) -> None:
    """Under the wrong label no document is found; under the right one its own loop is."""
    for name, loop in (("labelled-kv", "kv"), ("written-kv", "experts")):
        metadata = {"name": name, "namespace": tenant, "labels": {names.POLICY_LABEL: loop}}
        data = {names.POLICY_KEY: f"schema: {SCHEMA}\nloop: kv\npolicy: keep-all\n"}
        harbour.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
        asked = {"mode": "Observe", "policyRef": {"name": name}}
        harbour.apply([service(name, namespace=tenant, experts=asked)])
    eventually(lambda: says(harbour, "labelled-kv", "PolicyValid", namespace=tenant, reason="PolicyMissing"))
    text = says(harbour, "labelled-kv", "PolicyValid", namespace=tenant, status="False")["message"]
    assert "no ConfigMap of that name labelled loadline.dev/policy: experts" in text
    eventually(lambda: says(harbour, "written-kv", "PolicyValid", namespace=tenant, reason="PolicyInvalid"))
    text = says(harbour, "written-kv", "PolicyValid", namespace=tenant, status="False")["message"]
    assert "loop is 'kv': set it to `experts`" in text
