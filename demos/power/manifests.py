"""
The manifests that a user would apply for the demo: a PowerDomain, its policy and two InferenceServices.

The chart installs everything else. The figures come from the scenario, so that the live and the
virtual demo have the same row; a shorter row, for tests, has a budget and replicas in proportion.
"""

from collections.abc import Mapping
from typing import Any

from loadline_api import names
from loadline_api.power_domains import Mode
from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.rows import Priority
from loadline_sim.demo import acts, replays, scenarios
from loadline_sim.demo.scenarios import Scenario

Manifest = dict[str, Any]
"""One Kubernetes object as YAML gives it."""

NAMESPACE = "default"
POLICY_MAP = "power-row-a"
ROW_LABEL = f"{names.NODE_RESTRICTION_PREFIX}row"
GPUS = 8
HIGH, LOW = 100, 0


def node_labels(scenario: Scenario) -> Mapping[str, str]:
    """The labels by which the domain selects its nodes; a kubelet can't change labels of this prefix."""
    return {ROW_LABEL: scenario.name}


def node_names(scenario: Scenario) -> tuple[str, ...]:
    """The names of the row's nodes, in the order of the fake board's nodes."""
    return tuple(f"node-{index:02}" for index in range(scenario.servers))


def shortened(scenario: Scenario, servers: int) -> Scenario:
    """The scenario for a row of fewer servers, with a budget in proportion."""
    share = servers / scenario.servers
    smaller = {
        "servers": servers,
        "base_servers": round(scenario.base_servers * share),
        "budget_watts": round(scenario.budget_watts * share, 1),
    }
    return scenario.model_copy(update=smaller)


def policy_map(text: str) -> Manifest:
    """A ConfigMap with this policy document, labelled for the power loop."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": POLICY_MAP,
            "namespace": names.SYSTEM_NAMESPACE,
            "labels": {names.POLICY_LABEL: "power"},
        },
        "data": {names.POLICY_KEY: text},
    }


def power_domain(scenario: Scenario, model: ServerModel) -> Manifest:
    """The row's PowerDomain, in mode Observe."""
    curve = scenarios.CURVE
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.POWER_DOMAINS.kind,
        "metadata": {"name": scenario.name},
        "spec": {
            "budgetWatts": round(scenario.budget_watts),
            "mode": Mode.OBSERVE.value,
            "nodeSelector": {"matchLabels": dict(node_labels(scenario))},
            "policyRef": {"name": POLICY_MAP},
            "hostWatts": {"max": round(model.host_watts)},
            "breaker": {
                "coolingSeconds": round(curve.cooling_s),
                "curve": [_point(load, seconds) for load, seconds in curve.points],
            },
        },
    }


def inference_service(name: str, replicas: int) -> Manifest:
    """One of the demo's services; each replica takes a whole server."""
    high = replays.PRIORITIES[name] is Priority.HIGH
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICES.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"uri": "hf://bigscience/bloom"},
            "replicas": replicas,
            "parallelism": {"tensor": GPUS},
            "priority": HIGH if high else LOW,
        },
    }


def declarations(scenario: Scenario, model: ServerModel) -> list[Manifest]:
    """All manifests, in an order in which they can be applied."""
    replicas = scenario.servers // len(scenarios.SERVICES)
    services = [inference_service(name, replicas) for name in scenarios.SERVICES]
    return [policy_map(acts.POLICY), power_domain(scenario, model), *services]


def _point(load: float, seconds: float) -> Manifest:
    percent = {"percent": round(load * 100)}
    return percent if seconds == float("inf") else {**percent, "seconds": round(seconds)}
