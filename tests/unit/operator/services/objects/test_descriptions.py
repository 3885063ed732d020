"""One description of a service is what all of its objects say: names, ports, schemes, addresses."""

from typing import Any

import pytest

from loadline_agent.workloads.engine_endpoints import endpoint_of
from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import SCHEDULER, SCHEDULER_OPTION
from loadline_api.kv_retention import WORKER, WORKER_OPTION
from loadline_operator.kube.kinds import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    LEADER_WORKER_SETS,
    POD_MONITORS,
    SERVICES,
    Manifest,
)
from loadline_operator.services.objects import manifests
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import Description, describe
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS

ALL = frozenset(OPTIONAL_KINDS)
PICKED = Defaults(endpoint_picker="{service}-epp")
TLS = ["--ssl-certfile=/tls/tls.crt", "--ssl-keyfile=/tls/tls.key"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def described(defaults: Defaults = PICKED, **spec: Any) -> Description:
    whole = {"model": {"uri": "hf://org/llm"}, **spec}
    metadata = {"name": "chat", "namespace": "serving", "uid": "u"}
    return describe(InferenceService.parse({"metadata": metadata, "spec": whole}), defaults)


def made(one: Description) -> dict[str, Manifest]:
    """All objects, by kind and name."""
    found = manifests.wanted(one, offered=ALL)
    return {f"{each.kind.kind} {each.key.name}": each.manifest for each in found}


def engine(one: Description, name: str = "Deployment chat") -> Manifest:
    spec: Manifest = made(one)[name]["spec"]["template"]["spec"]
    found: Manifest = next(each for each in spec["containers"] if each["name"] in {"vllm", "router"})
    return found


def of_engine(**parts: Any) -> Manifest:
    return {"containers": [{"name": "vllm", **parts}]}


def argument(container: Manifest, name: str) -> str | None:
    found = [one.partition("=")[2] for one in container["args"] if one.startswith(f"{name}=")]
    return found[0] if found else None


def test_an_engine_that_serves_tls_is_asked_so_by_all() -> None:
    one = described(engine={"arguments": TLS})
    objects, container = made(one), engine(one)
    assert {container[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTPS"}
    (endpoint,) = objects["PodMonitor chat"]["spec"]["podMetricsEndpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", {"insecureSkipVerify": True})
    (port,) = objects["Service chat"]["spec"]["ports"]
    assert (port["name"], port["appProtocol"]) == ("http", "https")
    assert one.url == "https://chat.serving.svc:8000"
    assert "InferencePool chat" not in objects


def test_one_that_does_not_is_told_nothing_of_it() -> None:
    one = described()
    objects, container = made(one), engine(one)
    assert not any("scheme" in container[probe]["httpGet"] for probe in PROBES)
    assert objects["PodMonitor chat"]["spec"]["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics"}]
    assert "appProtocol" not in objects["Service chat"]["spec"]["ports"][0]
    assert one.url == "http://chat.serving.svc:8000"


@pytest.mark.parametrize(
    "parts",
    [
        {"args": ["--model=/m", "--port=9000"]},
        {"ports": [{"name": "http", "containerPort": 9000}]},
        {"command": ["vllm", "serve", "/m", "--port", "9000"], "args": []},
    ],
    ids=str,
)
def test_an_engine_that_listens_elsewhere_is_asked_there_by_all(parts: dict[str, Any]) -> None:
    template = of_engine(**parts)
    alone, routed = described(template=template), described(template=template, router={})
    ports = {one["name"]: one["containerPort"] for one in engine(alone)["ports"]}
    assert ports == {"http": 9000}
    assert made(alone)["InferencePool chat"]["spec"]["targetPorts"] == [{"number": 9000}]
    assert argument(engine(routed, "Deployment chat-router"), "--service-discovery-port") == "9000"
    assert made(alone)["Service chat"]["spec"]["ports"][0]["port"] == 8000
    if "ports" in parts:
        assert argument(engine(alone), "--port") == "9000"


@pytest.mark.parametrize(
    "parts",
    [
        {"ports": [{"name": "http", "containerPort": 9000}]},
        {"ports": [{"name": "http", "containerPort": 9000}, {"containerPort": 29000}]},
        {"args": ["--port=9000", "--service-discovery"]},
    ],
    ids=str,
)
def test_routers_that_listen_elsewhere_are_asked_there(parts: dict[str, Any]) -> None:
    one = described(router={"template": {"containers": [{"name": "router", **parts}]}})
    router = engine(one, "Deployment chat-router")
    assert {each["name"]: each["containerPort"] for each in router["ports"]} == {
        "http": 9000,
        "metrics": 29000,
    }
    assert argument(router, "--port") == "9000"
    assert argument(engine(one), "--port") == "8000"


@pytest.mark.parametrize("ports", [None, [{"containerPort": 8000}, {"containerPort": 29000}]], ids=str)
def test_a_router_keeps_the_ports_by_which_it_is_found(ports: Any) -> None:
    one = described(router={"template": {"containers": [{"name": "router", "ports": ports}]}})
    found = engine(one, "Deployment chat-router")["ports"]
    assert {each["name"]: each["containerPort"] for each in found} == {"http": 8000, "metrics": 29000}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"engine": {"arguments": TLS}},
        {"template": of_engine(args=["--model=/m", "--port=9000"])},
        {"template": of_engine(ports=[{"name": "http", "containerPort": 9000}])},
        {"template": of_engine(args=["--model=/m", "--port", "9000", *TLS])},
        {"template": of_engine(command=["sh", "-c", "exec vllm serve /m --port 9000"], args=[])},
        {"template": {"containers": [{"name": "logs", "ports": [{"name": "web", "containerPort": 80}]}]}},
    ],
    ids=str,
)
def test_agents_ask_an_engine_where_probes_do(spec: dict[str, Any]) -> None:
    one = described(**spec)
    template = made(one)["Deployment chat"]["spec"]["template"]
    found = endpoint_of(template["metadata"], template["spec"], has_gpus=lambda each: each["name"] == "vllm")
    assert (found.port, found.scheme) == (one.pools[0].engine.port, one.scheme)


@pytest.mark.parametrize(
    "ports", [[{"containerPort": 8000}], None, [], [{"name": "metrics", "containerPort": 9100}]], ids=str
)
def test_the_port_that_all_ask_for_is_there_whatever_a_template_says(ports: Any) -> None:
    names = {
        one.get("name"): one["containerPort"]
        for one in engine(described(template=of_engine(ports=ports)))["ports"]
    }
    assert names["http"] == 8000


def test_a_sidecar_may_answer_in_the_engines_place() -> None:
    proxy = {"name": "proxy", "image": "proxy:1", "ports": [{"name": "http", "containerPort": 8443}]}
    one = described(template={"containers": [{"name": "vllm", "ports": None}, proxy]})
    assert "ports" not in engine(one)


def test_on_a_cluster_of_ipv6_engines_and_routers_listen_there() -> None:
    one = described(Defaults(ip_family="IPv6"), router={})
    assert argument(engine(one), "--host") == "::"
    router = engine(one, "Deployment chat-router")
    assert (argument(router, "--host"), argument(router, "--prometheus-host")) == ("::", "::")


@pytest.mark.parametrize("family", [None, "IPv4"])
def test_elsewhere_an_engine_is_told_no_address(family: Any) -> None:
    one = described(Defaults(ip_family=family), router={})
    assert argument(engine(one), "--host") is None
    assert argument(engine(one, "Deployment chat-router"), "--host") == "0.0.0.0"


def test_templates_that_contradict_the_spec_make_nothing_and_say_why() -> None:
    secured = described(template=of_engine(args=["--model=/m", *TLS]), router={})
    obstacle = manifests.obstacle(secured, ALL)
    assert obstacle is not None
    assert obstacle.reason.value == "Contradiction"
    assert obstacle.text.startswith(
        "the template makes the engines of pool main serve HTTPS, but routers connect"
    )
    assert manifests.wanted(secured, offered=ALL) == ()
    elsewhere = of_engine(ports=[{"name": "http", "containerPort": 9000}])
    apart = described(prefill={"replicas": 1, "template": elsewhere}, router={})
    assert apart.contradiction is not None
    assert "port 8000 and on 9000" in apart.contradiction
    agreed = described(prefill={"replicas": 1}, template=elsewhere, router={})
    assert agreed.contradiction is None


def test_names_labels_and_counts_are_those_of_the_description() -> None:
    one = described(replicas=2, prefill={"perDecode": "1"}, router={"replicas": 3})
    objects = made(one)
    for group in one.groups:
        workload = objects[f"{group.kind.kind} {group.key.name}"]
        assert workload["spec"]["selector"]["matchLabels"] == group.labels
        assert workload["spec"]["replicas"] == group.replicas
        budget = objects[f"PodDisruptionBudget {group.key.name}"]
        assert budget["spec"]["selector"]["matchLabels"] == group.labels
    assert objects["Service chat"]["spec"]["selector"] == one.front.selector
    wide = described(parallelism={"tensor": 2, "nodes": 2})
    assert [group.kind for group in wide.groups] == [LEADER_WORKER_SETS]
    assert {each.kind for each in manifests.wanted(wide, offered=ALL)} >= {
        SERVICES,
        POD_MONITORS,
        INFERENCE_POOLS,
    }
    assert [group.kind for group in one.groups] == [DEPLOYMENTS] * 3


OBSERVED: dict[str, Any] = {"kvCache": {"admission": {"mode": "Observe"}}}
AGENTS = Defaults(agent_url="http://agents:9479")


def test_a_template_with_another_scheduler_is_refused_while_ours_is_asked_for() -> None:
    theirs = of_engine(args=["--model=/m", "--scheduler-cls=their.Scheduler"])
    text = described(AGENTS, template=theirs, **OBSERVED).contradiction
    assert text is not None
    assert text.startswith("the template sets --scheduler-cls=their.Scheduler, but kvCache.admission.mode is")
    assert "set kvCache.admission.mode to Off" in text
    assert described(AGENTS, template=theirs).contradiction is None
    assert described(template=theirs, **OBSERVED).contradiction is None, "without agents ours isn't asked for"


@pytest.mark.parametrize("words", [["--model=/m"], [f"{SCHEDULER_OPTION}={SCHEDULER}"]], ids=["none", "ours"])
def test_a_template_with_our_scheduler_or_none_is_no_contradiction(words: list[str]) -> None:
    assert described(AGENTS, template=of_engine(args=words), **OBSERVED).contradiction is None


BOUNDED: dict[str, Any] = {"kvCache": {"retention": {"mode": "Enforce"}}}


@pytest.mark.parametrize(
    "word",
    ["--worker-cls=their.Worker", "--speculative-config={}", "--kv-transfer-config={}", "--enable-dbo"],
)
def test_a_template_with_which_requests_cannot_be_bounded_is_refused_while_they_should_be(word: str) -> None:
    theirs = of_engine(args=["--model=/m", word])
    text = described(AGENTS, template=theirs, **BOUNDED).contradiction
    assert text is not None
    assert text.startswith(f"the template sets {word.partition('=')[0]}")
    assert "kvCache.retention.mode is Enforce" in text
    assert "set kvCache.retention.mode to Off" in text
    assert described(AGENTS, template=theirs, **OBSERVED).contradiction is None
    assert described(template=theirs, **BOUNDED).contradiction is None, "without agents it isn't asked for"


def test_another_scheduler_is_refused_for_retention_too() -> None:
    theirs = of_engine(args=["--scheduler-cls=their.Scheduler"])
    text = described(AGENTS, template=theirs, **BOUNDED).contradiction
    assert text is not None
    assert "kvCache.retention.mode is Enforce, for which engines run" in text


def test_a_template_with_our_worker_is_no_contradiction() -> None:
    words = [f"{SCHEDULER_OPTION}={SCHEDULER}", f"{WORKER_OPTION}={WORKER}"]
    assert described(AGENTS, template=of_engine(args=words), **BOUNDED).contradiction is None
