"""Values are checked before anything is rendered, and told in the README."""

from typing import Any

import helm_python
import pytest
import yaml

from hack import charts
from hack.charts import CHART


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"operater": {}}, "operater"),
        ({"operator": {"replicas": 2}}, "replicas"),
        ({"operator": {"logLevel": "loud"}}, "/operator/logLevel"),
        ({"operator": {"extraEnv": [{"value": "b"}]}}, "name"),
        ({"agent": {"enabled": "yes"}}, "/agent/enabled"),
        ({"agent": {"stateDirectory": "var/lib"}}, "/agent/stateDirectory"),
        ({"agent": {"canSetLimits": None, "mode": "enforce"}}, "mode"),
        ({"image": {"repository": ""}}, "/image/repository"),
        ({"image": {"repository": "loadline:latest"}}, "/image/repository"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"imagePullSecrets": ["pull"]}, "/imagePullSecrets/0"),
        ({"crds": {"install": 1}}, "/crds/install"),
        ({"priority": {"default": "high"}}, "/priority/default"),
        ({"priority": {"default": 1001}}, "/priority/default"),
        ({"priority": {"className": "a'b"}}, "/priority/className"),
        ({"policies": {"experts": {"create": True}}}, "experts"),
        ({"policies": {"power": {"overrides": "x"}}}, "/policies/power/overrides"),
        ({"monitoring": {"podMonitor": {"interval": "often"}}}, "/monitoring/podMonitor/interval"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_bad_value_is_refused_by_name(values: dict[str, Any], word: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        charts.rendered(values)
    assert word in str(refused.value)


def test_the_schema_knows_every_default_and_no_more() -> None:
    with helm_python.Chart.load(CHART) as chart:
        schema, values = chart.schema, chart.values
    assert schema is not None
    assert known(schema) == told(values)


def known(schema: dict[str, Any]) -> dict[str, Any]:
    """The keys of the schema's closed objects, `global` aside, which Helm adds by itself."""
    properties = {key: value for key, value in schema["properties"].items() if key != "global"}
    return {
        key: known(value) if value.get("additionalProperties") is False else {}
        for key, value in properties.items()
    }


def told(values: dict[str, Any]) -> dict[str, Any]:
    """The keys of the default values, resources filled up to both of their halves."""
    found = {key: told(value) if isinstance(value, dict) else {} for key, value in values.items()}
    return {
        key: {"requests": {}, "limits": {}} if key.lower().endswith("resources") else value
        for key, value in found.items()
    }


def test_the_generated_files_are_up_to_date() -> None:
    assert charts.stale() == [], "run `python -m hack.charts`"


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


def test_the_chart_has_the_projects_version() -> None:
    project = (charts.ROOT / "pyproject.toml").read_text()
    with helm_python.Chart.load(CHART) as chart:
        assert f'version = "{chart.version}"' in project
        assert chart.metadata["appVersion"] == chart.version
