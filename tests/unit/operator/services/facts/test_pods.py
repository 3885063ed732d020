"""Pods of somebody else, as they are listed."""

from typing import Any

import pytest

from loadline_operator.services.facts import pods

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
def test_an_odd_pod_hides_no_other(odd: dict[str, Any]) -> None:
    assert [one.node for one in pods.facts([odd, GOOD])] == ["node-1"]
