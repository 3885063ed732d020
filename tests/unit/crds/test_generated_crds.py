"""The CRDs that are committed are those of the models, and keep the API's conventions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadline_api import generate
from loadline_api.generate import DEFINITIONS, Definition, crd
from loadline_api.names import CATEGORY, INFERENCE_SERVICES

ROOT = Path(__file__).parents[3]
KINDS = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.resource.kind)

CLIENT_SIDE_APPLY_BYTES = 128 * 1024
"""Half of what the annotations of an object may have; client-side apply keeps the file in one of them."""


def schema(definition: Definition) -> dict[str, Any]:
    root: dict[str, Any] = crd(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in node.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
        yield from fields(field.get("items", {}), f"{path}.{name}[]")


def test_the_committed_files_are_those_of_the_models() -> None:
    assert generate.stale(ROOT) == [], "run `python -m loadline_api.generate`"


def test_generating_twice_gives_the_same_bytes() -> None:
    assert generate.files() == generate.files()


def test_a_changed_file_is_found_stale_and_fixed(tmp_path: Path) -> None:
    (tmp_path / "charts" / "loadline").mkdir(parents=True)
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--root", str(tmp_path), "--check"]) == 0
    (victim,) = tmp_path.glob("crds/*powerdomains.yaml")
    victim.write_text(victim.read_text().replace("pdom", "pd"))
    assert generate.main(["--root", str(tmp_path), "--check"]) == 1
    assert generate.write(tmp_path) == [victim]


def test_elsewhere_than_in_a_checkout_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        generate.main(["--root", str(tmp_path)])
    assert "name a checkout of Loadline" in capsys.readouterr().err


@KINDS
def test_every_field_is_described(definition: Definition) -> None:
    bare = [path for path, field in fields(schema(definition)) if not field.get("description")]
    assert bare == [".metadata"]


@KINDS
def test_no_spec_holds_a_float(definition: Definition) -> None:
    found = [path for path, field in fields(schema(definition)) if field.get("type") == "number"]
    assert found == []


def values(node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All fields, and what their lists and maps hold."""
    for name, field in fields(node):
        yield name, field
        for part, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(field.get(part), dict):
                yield f"{name}{mark}", field[part]


def bounded(field: dict[str, Any]) -> bool:
    match field.get("type"):
        case "integer":
            return {"minimum", "maximum"} <= field.keys() or "enum" in field
        case "array":
            return "maxItems" in field
        case "string":
            return bool({"maxLength", "enum", "format"} & field.keys())
        case _:
            return "maxProperties" in field or "additionalProperties" not in field


@KINDS
def test_every_number_list_map_and_text_has_a_bound(definition: Definition) -> None:
    """What somebody writes is read by others, who believe nothing that has no bound."""
    whole = schema(definition)["properties"]
    parts = {part: values(whole[part]) for part in ("spec", "status")}
    assert [f"{part}{path}" for part in parts for path, field in parts[part] if not bounded(field)] == []


@KINDS
def test_the_dialect_is_kubernetes(definition: Definition) -> None:
    text = json.dumps(crd(definition))
    foreign = ("$ref", "anyOf", "propertyNames", '"additionalProperties": false', '"title"', "null")
    assert [word for word in foreign if word in text] == []


@KINDS
def test_a_status_has_no_defaults(definition: Definition) -> None:
    assert '"default"' not in json.dumps(schema(definition)["properties"]["status"])


@KINDS
def test_conditions_can_have_several_writers(definition: Definition) -> None:
    conditions = schema(definition)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@KINDS
def test_the_file_is_small_enough_for_client_side_apply(definition: Definition) -> None:
    (text,) = (text for name, text in generate.files().items() if definition.resource.plural in name)
    assert len(text.encode()) < CLIENT_SIDE_APPLY_BYTES


@KINDS
def test_names_columns_and_status_are_there(definition: Definition) -> None:
    spec = crd(definition)["spec"]
    assert spec["names"]["shortNames"] == [definition.resource.short_name]
    assert spec["names"]["categories"] == [CATEGORY]
    (version,) = spec["versions"]
    assert version["subresources"]["status"] == {}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_only_services_are_scaled() -> None:
    scaled = {
        one.resource: crd(one)["spec"]["versions"][0]["subresources"].get("scale") for one in DEFINITIONS
    }
    assert scaled.pop(INFERENCE_SERVICES) == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert set(scaled.values()) == {None}


@KINDS
def test_every_rule_says_something(definition: Definition) -> None:
    def rules(node: Any) -> Iterator[dict[str, str]]:
        if isinstance(node, dict):
            yield from node.get("x-kubernetes-validations", [])
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            yield from rules(child)

    for rule in rules(schema(definition)):
        assert rule.get("message") or ".format([" in rule["messageExpression"], rule
        assert "' +" not in rule.get("messageExpression", ""), "joining by + breaks the cost budget"
