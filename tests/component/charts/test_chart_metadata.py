"""What Chart.yaml tells Helm and Artifact Hub agrees with the code."""

import base64
from typing import Any

import helm_python
import yaml

from loadline_api.generate import DEFINITIONS
from loadline_api.inference_services import InferenceService
from loadline_api.names import VERSION
from loadline_api.power_domains import PowerDomain
from testbed import charts
from testbed.charts import CHART


def metadata() -> dict[str, Any]:
    with helm_python.Chart.load(CHART) as chart:
        return chart.metadata


def annotation(name: str) -> Any:
    return yaml.safe_load(metadata()["annotations"][f"artifacthub.io/{name}"])


def test_the_application_is_the_projects_version() -> None:
    project = (charts.ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{metadata()["appVersion"]}"\n' in project


def test_the_icon_is_the_picture() -> None:
    kind, _, encoded = metadata()["icon"].partition(";base64,")
    assert kind == "data:image/svg+xml"
    assert base64.b64decode(encoded) == charts.ICON.read_bytes()


def test_every_kind_is_listed_with_its_description() -> None:
    told = [(one["kind"], one["version"], one["name"], one["description"]) for one in annotation("crds")]
    assert told == [
        (one.resource.kind, VERSION, one.resource.full_name, one.description) for one in DEFINITIONS
    ]


def test_the_examples_can_be_read() -> None:
    service, domain = annotation("crdsExamples")
    assert InferenceService.parse(service).spec.model is not None
    assert PowerDomain.parse(domain).enforces is False


def test_the_image_is_the_one_that_runs() -> None:
    (operator,) = charts.containers(charts.one("Deployment", "loadline-operator"))
    assert [one["image"] for one in annotation("images")] == [operator["image"]]


def test_the_changes_are_of_kinds_that_the_hub_knows() -> None:
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert {one["kind"] for one in annotation("changes")} <= kinds
