"""With network policies, nobody talks to anybody but those who must."""

from typing import Any

from loadline_api import names
from testbed import charts

CLOSED = {"networkPolicy": {"enabled": True}}


def policy(name: str, **further: Any) -> dict[str, Any]:
    values = {"networkPolicy": {**CLOSED["networkPolicy"], **further}}
    spec: dict[str, Any] = charts.one("NetworkPolicy", name, values=values)["spec"]
    return spec


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_nothing_is_closed_unless_asked() -> None:
    assert "NetworkPolicy" not in {found["kind"] for found in charts.rendered()}


def test_each_policy_selects_the_pods_of_its_component() -> None:
    for kind, name in (("Deployment", "loadline-operator"), ("DaemonSet", "loadline-agent")):
        selected = policy(name)["podSelector"]["matchLabels"]
        assert selected == charts.one(kind, name)["spec"]["selector"]["matchLabels"]
        assert policy(name)["policyTypes"] == ["Ingress", "Egress"]


def test_the_operator_is_asked_for_metrics_and_asks_the_api_server() -> None:
    spec = policy("loadline-operator")
    assert ports(spec["ingress"]) == {names.OPERATOR_METRICS_PORT}
    assert ports(spec["egress"]) == {443, 6443, 53}


def test_agents_talk_to_each_other_and_to_engines() -> None:
    spec = policy("loadline-agent", enginePorts=[8000, 9000])
    assert ports(spec["ingress"]) == {names.AGENT_PORT, names.AGENT_METRICS_PORT, names.AGENT_WORKERS_PORT}
    assert ports(spec["egress"]) == {443, 6443, 53, names.AGENT_PORT, 8000, 9000}


def test_the_domain_loop_is_for_agents_alone() -> None:
    spec = policy("loadline-agent")
    (loop,) = (rule for rule in spec["ingress"] if ports([rule]) == {names.AGENT_PORT})
    assert loop["from"] == [{"podSelector": spec["podSelector"]}]


def test_engines_of_any_namespace_reach_the_agents_port_for_them() -> None:
    (rule,) = (
        one for one in policy("loadline-agent")["ingress"] if ports([one]) == {names.AGENT_WORKERS_PORT}
    )
    assert rule["from"] == [{"namespaceSelector": {}}]


def test_who_may_read_metrics_can_be_said() -> None:
    monitors = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    for name, port in (("loadline-operator", 9477), ("loadline-agent", 9478)):
        spec = policy(name, metricsFrom=monitors)
        assert next(rule for rule in spec["ingress"] if ports([rule]) == {port})["from"] == monitors


def test_the_test_may_ask_the_operator_even_then() -> None:
    (test,) = (one for one in charts.hooks("test") if one["kind"] == "Pod")
    spec = policy("loadline-operator", metricsFrom=[{"podSelector": {"matchLabels": {"a": "b"}}}])
    allowed = [one["podSelector"]["matchLabels"] for rule in spec["ingress"] for one in rule["from"]]
    assert any(labels.items() <= test["metadata"]["labels"].items() for labels in allowed)
