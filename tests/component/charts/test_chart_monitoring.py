"""Monitors and alerts: they need a flag and an API, and speak of series that exist."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from loadline_agent import gauges
from loadline_agent.metrics import Metrics as AgentMetrics
from loadline_operator.metrics import Metrics as OperatorMetrics
from testbed import charts
from testbed.charts import CHART, ROOT

RULES = CHART / "files" / "rules" / "loadline.yaml"
DASHBOARDS = {path.name: path for path in (CHART / "files" / "dashboards").iterdir()}
KINDS = {
    "serviceMonitor": ("ServiceMonitor", "monitors.yaml"),
    "podMonitor": ("PodMonitor", "monitors.yaml"),
    "prometheusRule": ("PrometheusRule", "rules.yaml"),
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("monitor", KINDS)
def test_monitors_need_the_flag_and_the_api(tmp_path: Path, monitor: str) -> None:
    kind, file = KINDS[monitor]
    values = {"monitoring": {monitor: {"enabled": True, "labels": {"team": "sre"}}}}
    assert kind not in {found["kind"] for found in charts.rendered(values)}, "that API is not there"
    copy = shutil.copytree(CHART, tmp_path / "loadline")
    template = copy / "templates" / file
    template.write_text(re.sub(r'Has "monitoring.coreos.com/v1/\w+"', 'Has "v1"', template.read_text()))
    with helm_python.Chart.load(copy) as chart:
        without = chart.render({}, name="loadline", namespace="x")[f"loadline/templates/{file}"]
        text = chart.render(values, name="loadline", namespace="x")[f"loadline/templates/{file}"]
    assert without.strip() == ""
    (found,) = (told for told in yaml.safe_load_all(text) if told)
    assert found["kind"] == kind
    assert found["metadata"]["labels"]["team"] == "sre"
    if kind == "PrometheusRule":
        assert found["spec"] == yaml.safe_load(RULES.read_text()), "not a word of it was taken for a template"


def test_alerts_speak_of_series_that_are_told() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "agents" / "loadline_agent").rglob("*.py"))
    told = OperatorMetrics().text().decode() + AgentMetrics().text().decode() + sources
    rows = re.findall(r'"(\w+)": \(', (ROOT / "agents" / "loadline_agent" / "agent.py").read_text())
    told += "".join(f" loadline_power_domain_{row} " for row in rows)
    for rule in rules():
        for series in re.findall(r"loadline_\w+", rule["expr"]):
            assert re.search(rf"\b{series}\b", told), f"{rule['alert']} asks for {series}"


def of_engines() -> set[str]:
    """Series of the plugin in engines, as the reference lists them."""
    return set(
        re.findall(r"`(loadline:\w+)`", (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8"))
    )


def test_alerts_and_dashboards_speak_of_series_that_engines_have() -> None:
    asked = {series for rule in rules() for series in re.findall(r"loadline:\w+", rule["expr"])}
    targets = [str(panel["targets"]) for name in DASHBOARDS for panel in panels(name)]
    asked |= {series for one in targets for series in re.findall(r"loadline:\w+", one)}
    assert asked
    assert asked <= of_engines()


def panels(dashboard: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARDS[dashboard].read_text("utf-8"))["panels"]
    return found


def test_dashboards_speak_of_series_that_agents_have() -> None:
    told = AgentMetrics().text().decode() + "".join(f" {one.name} " for one in gauges.ALL)
    for name in DASHBOARDS:
        for series in re.findall(r"loadline_(?:kv|service)_\w+", DASHBOARDS[name].read_text("utf-8")):
            assert re.search(rf"\b{series}\b", told), f"{name} asks for {series}"


def test_dashboards_are_created_as_they_are_where_they_are_asked_for() -> None:
    assert "loadline-dashboards" not in [one["metadata"]["name"] for one in charts.rendered()]
    values = {"monitoring": {"dashboards": {"enabled": True}}}
    made = charts.one("ConfigMap", "loadline-dashboards", values=values)
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["data"] == {name: path.read_text("utf-8") for name, path in DASHBOARDS.items()}, (
        "no legend was taken for a template"
    )


def test_each_panel_says_what_it_shows() -> None:
    assert all(panel["description"] for name in DASHBOARDS for panel in panels(name))


def test_the_dashboard_of_experts_shows_imbalance_and_the_shadow_table() -> None:
    asked = " ".join(str(panel["targets"]) for panel in panels("experts.json"))
    for series in ("imbalance", "rank_imbalance", "shadow_drop_fraction", "shadow_rank_imbalance"):
        assert f"loadline:experts_{series}{{" in asked


def test_every_alert_says_what_to_do_and_how_grave_it_is() -> None:
    for rule in rules():
        assert rule["alert"].startswith("Loadline")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_labels_in_a_sentence_are_labels_of_the_series() -> None:
    labels = {"domain", "instance", "gpu", "error", "kind", "loop", "reason", "namespace", "pod"}
    assert set(re.findall(r"\$labels\.(\w+)", RULES.read_text())) <= labels
