"""Values are checked before anything is rendered, and told in the README."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from testbed import charts
from testbed.charts import CHART

HELMS = {"enabled", "global"}
"""Keys that an umbrella chart has Helm pass down to every chart below it."""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"operater": {}}, "operater"),
        ({"operator": {"replicas": 2}}, "replicas"),
        ({"operator": {"logLevel": "loud"}}, "/operator/logLevel"),
        ({"operator": {"extraEnv": [{"value": "b"}]}}, "name"),
        ({"agent": {"enabled": "yes"}}, "/agent/enabled"),
        ({"agent": {"stateDirectory": "var/lib"}}, "/agent/stateDirectory"),
        ({"agent": {"journal": {"maxMiB": 1}}}, "/agent/journal/maxMiB"),
        ({"agent": {"journal": {"maxMiB": 1.5}}}, "/agent/journal/maxMiB"),
        ({"agent": {"journal": {"file": "/tmp/j"}}}, "file"),
        ({"agent": {"canSetLimits": None, "mode": "enforce"}}, "mode"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"repository": "loadline:latest"}}, "/image/repository"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"imagePullSecrets": ["pull"]}, "/imagePullSecrets/0"),
        ({"crds": {"install": 1}}, "/crds/install"),
        ({"priority": {"default": "high"}}, "/priority/default"),
        ({"priority": {"default": 1001}}, "/priority/default"),
        ({"priority": {"className": "a'b"}}, "/priority/className"),
        ({"policies": {"sizing": {"create": True}}}, "sizing"),
        ({"policies": {"power": {"overrides": "x"}}}, "/policies/power/overrides"),
        ({"monitoring": {"podMonitor": {"interval": "often"}}}, "/monitoring/podMonitor/interval"),
        ({"image": {"digest": "sha256:0"}}, "/image/digest"),
        ({"gpuResource": "gpu"}, "/gpuResource"),
        ({"engine": {"image": "Vllm"}}, "/engine/image"),
        ({"engine": {"template": "hostNetwork"}}, "/engine/template"),
        ({"router": {"replicas": 2}}, "replicas"),
        ({"modelCache": {"hostPath": "/srv/"}}, "/modelCache/hostPath"),
        ({"inferencePool": {"endpointPicker": "{pool}"}}, "/inferencePool/endpointPicker"),
        ({"operator": {"livenessProbe": {"httpGet": {}}}}, "/operator/livenessProbe"),
        ({"agent": {"updateStrategy": {"type": "Recreate"}}}, "/agent/updateStrategy/type"),
        ({"agent": {"kubeletPodResources": "pod-resources"}}, "/agent/kubeletPodResources"),
        ({"priority": {"classes": [{"name": "system-node", "value": 1}]}}, "/priority/classes/0/name"),
        ({"priority": {"classes": [{"name": "a", "value": 2_000_000_000}]}}, "/priority/classes/0/value"),
        ({"networkPolicy": {"apiServerCidrs": ["10.0.0.1"]}}, "/networkPolicy/apiServerCidrs/0"),
        ({"networkPolicy": {"enginePorts": [0]}}, "/networkPolicy/enginePorts/0"),
        ({"uninstall": {"timeoutSeconds": "4m"}}, "/uninstall/timeoutSeconds"),
        ({"tests": {"service": "chat"}}, "/tests/service"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_bad_value_is_refused_by_name(values: dict[str, Any], word: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        charts.rendered(values)
    assert word in str(refused.value)


def test_the_schema_knows_every_default_and_no_more() -> None:
    schema, values = described_and_told()
    assert known(schema) == {**known_of(values, schema), **{key: {} for key in HELMS}}


def test_every_key_is_required_so_that_values_of_an_older_chart_are_refused_by_name() -> None:
    schema, _ = described_and_told()
    for path, node in closed(schema):
        keys = node["properties"].keys() - (HELMS if not path else set())
        assert set(node["required"]) == keys, path
    with pytest.raises(helm_python.HelmError) as refused:
        charts.rendered({"networkPolicy": None})
    assert "missing property 'networkPolicy'" in str(refused.value)


def described_and_told() -> tuple[dict[str, Any], dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        schema, values = chart.schema, chart.values
    assert schema is not None
    return schema, values


def closed(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks of our own keys, whose shape nobody else decides."""
    if node.get("additionalProperties") is False:
        yield path, node
        for key, value in node["properties"].items():
            yield from closed(value, f"{path}.{key}")


def known(node: dict[str, Any]) -> dict[str, Any]:
    """The keys of the schema's closed blocks."""
    properties = node["properties"]
    return {
        key: known(value) if value.get("additionalProperties") is False else {}
        for key, value in properties.items()
    }


def known_of(values: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The keys of the default values, as deep as the schema's closed blocks go."""
    return {
        key: known_of(value, node["properties"][key])
        if node["properties"].get(key, {}).get("additionalProperties") is False
        else {}
        for key, value in values.items()
    }


def test_the_generated_files_are_up_to_date() -> None:
    assert charts.stale() == [], "run `python -m testbed.charts`"


def test_every_value_is_told_in_the_readme() -> None:
    text = (CHART / "values.yaml").read_text()
    documented = {key for key, _, _ in charts.described(text)}
    assert documented == set(leaves(yaml.safe_load(text), documented))


def leaves(values: dict[str, Any], documented: set[str], path: str = "") -> list[str]:
    """Keys that must be documented: a documented mapping stands for what is below it."""
    found: list[str] = []
    for key, value in values.items():
        here = f"{path}{key}"
        if isinstance(value, dict) and value and here not in documented:
            found += leaves(value, documented, f"{here}.")
        else:
            found.append(here)
    return found


def test_the_table_shows_path_default_and_comment() -> None:
    text = """
agent:
  # -- Run it.
  enabled: true
  deep:
    # -- How many.
    sizes: {a: [1, 2]}
last: 1
"""
    assert list(charts.described(text)) == [
        ("agent.enabled", "true", "Run it."),
        ("agent.deep.sizes", "{a: [1, 2]}", "How many."),
    ]


ON = {"enabled": True}
HERE = {"condition": "loadline.enabled"}


@pytest.mark.parametrize(
    ("how", "values"),
    [
        (HERE, {"loadline": ON}),
        (HERE, {"loadline": {**ON, "agent": {"enabled": False}}}),
        (HERE, {"global": {"imageRegistry": "mirror.example"}, "loadline": {**ON, "global": {"a": 1}}}),
        ({"condition": "power.enabled", "alias": "power"}, {"power": {**ON, "gpuResource": "amd.com/gpu"}}),
        ({"tags": ["serving"]}, {"tags": {"serving": True}}),
    ],
    ids=["enabled", "enabled-and-values", "global", "by-another-name", "tags"],
)
def test_the_chart_is_part_of_an_umbrella_chart(
    tmp_path: Path, how: dict[str, Any], values: dict[str, Any]
) -> None:
    dependency = {"name": "loadline", "version": "*", **how}
    whole = {"apiVersion": "v2", "name": "platform", "version": "0.1.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(whole))
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    shutil.copytree(CHART, tmp_path / "charts" / "loadline")
    with helm_python.Chart.load(tmp_path) as chart:
        made = chart.render({}, name="platform", namespace="loadline-system")
    assert any("operator.yaml" in name for name in made)


def test_an_umbrellas_condition_is_a_boolean() -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        charts.rendered({"enabled": "yes"})
    assert "/enabled" in str(refused.value)
