"""After an install or an upgrade, the notes tell the next command."""

import re
from typing import Any

import helm_python
import pytest
import yaml

from testbed import charts
from testbed.charts import CHART


def notes(values: dict[str, Any] | None = None, *, upgrade: bool = False) -> str:
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(values or {}, name="anchor", namespace="harbour", is_upgrade=upgrade)
    (found,) = (text for path, text in texts.items() if path.endswith("NOTES.txt"))
    return found


def manifests(text: str) -> list[dict[str, Any]]:
    """The documents that the notes feed to kubectl; a shell ends each at a line of EOF alone."""
    return [yaml.safe_load(one) for one in re.findall(r"<<EOF\n(.*?)^EOF$", text, flags=re.S | re.M)]


def test_the_first_commands_serve_a_model_and_declare_a_row() -> None:
    assert [one["kind"] for one in manifests(notes())] == ["InferenceService", "PowerDomain"]


def test_what_they_apply_is_what_the_hub_shows() -> None:
    with helm_python.Chart.load(CHART) as chart:
        shown = yaml.safe_load(chart.metadata["annotations"]["artifacthub.io/crdsExamples"])
    service, row = manifests(notes())
    assert row == shown[1]
    assert service["spec"]["model"] == shown[0]["spec"]["model"]


def test_an_upgrade_is_waited_for_instead() -> None:
    text = notes(upgrade=True)
    assert "rollout status deployment/loadline-operator" in text
    assert "kubectl apply" not in text


def test_the_test_is_that_of_this_release() -> None:
    assert "helm test anchor --namespace harbour" in notes()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "kubectl label namespace harbour pod-security.kubernetes.io/enforce=privileged"),
        ({"agent": {"canSetLimits": False}}, "agent.canSetLimits is false"),
        ({"agent": {"enabled": False}}, "agent.enabled is false"),
        ({"agent": {"startupTaint": {"enabled": True}}}, "loadline.dev/agent-not-ready:NoSchedule"),
        ({"crds": {"install": False}}, "kubectl apply --server-side"),
        ({"uninstall": {"release": False}}, "leaves the GPU limits that are then in force as they are"),
        ({"tests": {"service": "prod/chat"}}, "send one request to prod/chat"),
    ],
    ids=["privileged", "observing", "no agents", "taint", "no definitions", "no release", "test"],
)
def test_what_a_value_takes_away_is_said(values: dict[str, Any], words: str) -> None:
    assert words in notes(values)
    others = [{}, {"agent": {"enabled": False}}]
    assert any(words not in notes(other) for other in others if other != values)


def test_no_line_is_left_empty_twice() -> None:
    for values in ({}, {"agent": {"enabled": False}}, {"agent": {"canSetLimits": False}}):
        for upgrade in (False, True):
            assert "\n\n\n" not in notes(values, upgrade=upgrade)


def test_the_chart_reads_the_same_in_any_release() -> None:
    assert len(charts.rendered(release="anchor")) == len(charts.rendered())
