"""Nothing that a user can say, and nothing that the chart ships, is a list of GPUs that are known."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import KvDtype
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_pods import pod_template
from testbed import charts
from testbed.engines.venvs import Venv

PRODUCT = re.compile(
    r"\b(GB?\d{3}|[ABHV]\d{2,3}|L40?S?|T4|MI\d{3}[A-Z]?|RTX|Gaudi\d?|TPU|Trainium\d?)\b",
    re.IGNORECASE,
)
"""How accelerators are called, those of years to come among them."""

CRDS = sorted((charts.ROOT / "crds").glob("*.yaml"))
SHIPPED = [
    *CRDS,
    charts.CHART / "values.yaml",
    charts.CHART / "values.schema.json",
    *sorted((charts.CHART / "templates").rglob("*.*")),
    *sorted(charts.POLICIES.glob("*.yaml")),
]


@pytest.mark.parametrize(
    "name", ["h100_sxm", "NVIDIA-GB300", "gb200", "mi300x", "L40S", "A100-SXM4-80GB", "l4", "t4", "B300"]
)
def test_names_of_gpus_are_known_as_such(name: str) -> None:
    assert PRODUCT.search(re.sub(r"[_-]", " ", name))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_no_gpu_is_named_in_what_is_shipped(file: Path) -> None:
    text = re.sub(r"[_-]", " ", file.read_text())
    assert [found[0] for found in PRODUCT.finditer(text)] == []


@pytest.mark.parametrize("file", CRDS, ids=lambda file: file.stem)
def test_a_field_that_lists_its_values_lists_no_hardware(file: Path) -> None:
    (version,) = yaml.safe_load(file.read_text())["spec"]["versions"]
    listed = dict(enums(version["schema"]["openAPIV3Schema"]))
    words = "policy dtype mode source status scheme ceiling persistenceMode strategy estimator victim"
    allowed = {*words.split(), "qualityClass", "onProbeFailure"}
    assert {path.rpartition(".")[2] for path in listed} <= allowed


def enums(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, list[str]]]:
    """The path of each field that takes listed values only, and these."""
    if "enum" in schema:
        yield path, schema["enum"]
    for name, below in schema.get("properties", {}).items():
        yield from enums(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from enums(schema[key], path)


def test_any_vendors_device_can_be_asked_for() -> None:
    limits = {"nvidia.com/gpu": None, "gpu.example.com/next": "2"}
    template = {"containers": [{"name": "vllm", "resources": {"limits": limits}}]}
    spec = {"model": {"uri": "hf://org/llm"}, "template": template}
    one = InferenceService.parse({"metadata": {"name": "chat", "namespace": "serving"}, "spec": spec})
    described = describe(one, Defaults())
    (container,) = pod_template(described, described.pools[0])["spec"]["containers"]
    assert container["resources"]["limits"] == {"gpu.example.com/next": "2"}


def test_every_type_of_kv_that_the_engine_knows_can_be_asked_for(engine_venv: Venv) -> None:
    (file,) = engine_venv.path.glob("lib/python3*/site-packages/vllm/config/cache.py")
    listed = (
        ast.literal_eval(one.value.slice)
        for one in ast.parse(file.read_text()).body
        if isinstance(one, ast.Assign)
        and [target.id for target in one.targets if isinstance(target, ast.Name)] == ["CacheDType"]
        and isinstance(one.value, ast.Subscript)
    )
    assert {one.value for one in KvDtype} >= set(*listed)
