"""How a field of a schema is put into words."""

from typing import Any

import pytest

from reference_pages import schema_fields
from reference_pages.schema_fields import SchemaField


def only(field: dict[str, Any], *, required: bool = False) -> SchemaField:
    """The one field of an object, in words."""
    schema = {"type": "object", "properties": {"it": field}, "required": ["it"] if required else []}
    return next(schema_fields.fields(schema, "spec"))


@pytest.mark.parametrize(
    ("field", "type"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({"type": "array", "items": {"type": "object"}}, "[]object"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map[string]string"),
        ({"x-kubernetes-int-or-string": True}, "integer or string"),
    ],
)
def test_types_are_written_as_kubernetes_writes_them(field: dict[str, Any], type: str) -> None:
    assert only(field).type == type


@pytest.mark.parametrize(
    ("field", "bounds"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 10_000}, "1 to 10,000"),
        ({"type": "integer", "minimum": 0}, "at least 0"),
        ({"type": "integer", "exclusiveMinimum": 0}, "above 0"),
        ({"type": "string", "minLength": 1, "maxLength": 63}, "1 to 63 characters"),
        ({"type": "string", "maxLength": 9}, "at most 9 characters"),
        ({"type": "string", "enum": ["Observe", "Enforce"]}, "`Observe`, `Enforce`"),
        (
            {"type": "array", "maxItems": 8, "items": {"type": "string", "maxLength": 9}},
            "at most 8 entries; each at most 9 characters",
        ),
        (
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-map-keys": ["loop"]},
            "one entry for each `loop`",
        ),
    ],
)  # fmt: skip
def test_bounds_are_said_with_their_unit(field: dict[str, Any], bounds: str) -> None:
    assert only(field).bounds == bounds


@pytest.mark.parametrize(
    ("value", "told"),
    [("Observe", "`Observe`"), (1, "`1`"), (False, "`false`"), ([], "`[]`"), ({"a": [1]}, "`{a: [1]}`")],
)
def test_a_default_is_written_as_a_manifest_would(value: Any, told: str) -> None:
    assert only({"type": "string", "default": value}).default == told


def test_a_required_field_has_no_default_and_says_so() -> None:
    assert only({"type": "string"}, required=True).default == "required"


def test_fields_of_a_lists_entries_follow_it() -> None:
    point = {"type": "object", "properties": {"percent": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"curve": {"type": "array", "items": point}}}
    paths = [field.path for field in schema_fields.fields(schema, "spec")]
    assert paths == ["spec.curve", "spec.curve[].percent"]
