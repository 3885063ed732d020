"""What is counted of services beyond the status of their conditions."""

from typing import Any

import pytest

from loadline_operator.services.facts.service_facts import service_fact


def fact_of(mode: str, **active: Any) -> bool:
    condition = {"type": "RetentionActive", "status": "False", "reason": "EngineUnable", **active}
    return service_fact(
        {
            "metadata": {"name": "chat", "namespace": "shop", "resourceVersion": "7"},
            "spec": {"model": {"uri": "hf://org/m"}, "kvCache": {"retention": {"mode": mode}}},
            "status": {"conditions": [condition]},
        }
    ).unbounded


@pytest.mark.parametrize(
    ("mode", "status", "counted"),
    [
        ("Enforce", "False", True),
        ("Enforce", "Unknown", False),
        ("Enforce", "True", False),
        ("Observe", "False", False),
        ("Off", "False", False),
    ],
)
def test_only_services_that_enforce_bounds_are_counted_as_unbounded(
    mode: str, status: str, counted: bool
) -> None:
    assert fact_of(mode, status=status) is counted
