"""What services are made of: the operator understands the file that the chart writes for it."""

from typing import Any

import yaml

from loadline_api import names
from loadline_operator.services.objects import defaults
from loadline_operator.services.objects.defaults import Defaults
from testbed import charts


def text(values: dict[str, Any] | None = None) -> str:
    return str(charts.one("ConfigMap", "loadline-defaults", values=values)["data"]["defaults.yaml"])


def test_what_nobody_gave_is_the_operators_own() -> None:
    without_agents = text({"agent": {"enabled": False}})
    assert defaults.parse(without_agents) == Defaults()
    assert yaml.safe_load(without_agents) == {"gpuResource": "nvidia.com/gpu"}


def test_engines_are_told_of_the_service_before_the_agents() -> None:
    url = f"http://{names.WORKERS_SERVICE}.{names.SYSTEM_NAMESPACE}.svc:{names.AGENT_WORKERS_PORT}"
    assert defaults.parse(text()) == Defaults(agent_url=url)


def test_every_default_reaches_the_operator() -> None:
    values = {
        "gpuResource": "amd.com/gpu",
        "ipFamily": "IPv6",
        "engine": {
            "image": "registry.example/vllm:v1",
            "kvBufferDevice": "cpu",
            "template": {"spec": {"runtimeClassName": "nvidia"}},
        },
        "router": {"image": "registry.example/router:v1", "template": {"spec": {"hostUsers": False}}},
        "modelCache": {"enabled": True, "hostPath": "/srv/models"},
        "inferencePool": {"endpointPicker": "{service}-picker"},
        "monitoring": {"engines": {"labels": {"team": "sre"}}},
    }
    assert defaults.parse(text({**values, "agent": {"enabled": False}})) == Defaults(
        gpu_resource="amd.com/gpu",
        ip_family="IPv6",
        engine_image="registry.example/vllm:v1",
        kv_buffer_device="cpu",
        engine_template={"spec": {"runtimeClassName": "nvidia"}},
        router_image="registry.example/router:v1",
        router_template={"spec": {"hostUsers": False}},
        model_cache="/srv/models",
        endpoint_picker="{service}-picker",
        monitor_labels={"team": "sre"},
    )


def test_the_operator_has_no_default_that_the_chart_can_not_set() -> None:
    given = {
        "ipFamily": "IPv4",
        "engine": {"image": "a", "kvBufferDevice": "cpu", "template": {"a": "b"}},
        "router": {"image": "a", "template": {"a": "b"}},
        "modelCache": {"enabled": True},
        "inferencePool": {"endpointPicker": "a"},
        "monitoring": {"engines": {"labels": {"a": "b"}}},
    }
    known = {field.alias for field in Defaults.model_fields.values()}
    assert yaml.safe_load(text(given)).keys() == known


def test_the_cache_is_nowhere_unless_it_is_wanted() -> None:
    assert "modelCache" not in text({"modelCache": {"hostPath": "/srv/models"}})


def test_the_file_lies_where_the_operator_is_told() -> None:
    (container,) = charts.containers(charts.one("Deployment", "loadline-operator"))
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "defaults")
    assert f"--defaults={mount['mountPath']}/defaults.yaml" in container["args"]
    assert "subPath" not in mount
