"""Pods of somebody else, as they are listed."""

from typing import Any

import pytest

from loadline_api.reasons import Reason
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.facts.index import ServiceIndex

GOOD: dict[str, Any] = {"metadata": {"name": "good", "namespace": "prod"}, "spec": {"nodeName": "node-1"}}


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "odd", "namespace": "prod"}},
        {"metadata": {"name": "odd", "namespace": "prod"}, "spec": None},
        {"metadata": {"name": "odd", "namespace": "prod"}, "spec": {}, "status": "Running"},
        {"metadata": {"name": "odd", "namespace": "prod"}, "spec": {}, "status": {"conditions": "Ready"}},
    ],
    ids=["no spec", "null", "text for a status", "text for conditions"],
)
def test_an_odd_pod_hides_no_other_and_is_not_taken_for_a_good_one(odd: dict[str, Any]) -> None:
    counted: list[str] = []
    index = ServiceIndex(lambda kind, key, error: counted.append(str(key)), AgentPods(silent_after_s=60.0))
    found = [index.pod(one) for one in (odd, GOOD)]
    assert [one.node for one in found] == ["", "node-1"]
    assert found[0].fault is not None
    assert found[0].fault.reason is Reason.NOT_TOLD
    assert counted == ["prod/odd"]
