"""
A structural schema as a list of fields: path, type, default, bounds and what each means.

Types are written as Kubernetes' own reference writes them: `[]object`, `map[string]string`. A list of
objects is followed by the fields of its entries (`curve[].percent`); what bounds a list's scalars
stands with the list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from reference_pages.markdown import code

Schema = dict[str, Any]

COUNTED = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "entries"),
    ("minProperties", "maxProperties", "entries"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaField:
    """One field of a kind, in words."""

    path: str
    type: str
    default: str
    bounds: str
    description: str


def fields(schema: Schema, path: str) -> Iterator[SchemaField]:
    """All fields below an object's schema, each before its own fields."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        yield SchemaField(
            path=here,
            type=type_of(field),
            default="required" if name in required else _default(field),
            bounds="; ".join(_bounds(field)),
            description=field.get("description", ""),
        )
        yield from fields(field, here)
        yield from fields(field.get("items", {}), f"{here}[]")


def type_of(field: Schema) -> str:
    """The type as Kubernetes writes it."""
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "array":
        return f"[]{type_of(field['items'])}"
    if "additionalProperties" in field:
        return f"map[string]{type_of(field['additionalProperties'])}"
    return str(field["type"])


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    text = yaml.safe_dump(field["default"], default_flow_style=True, width=10_000, sort_keys=False)
    return code(text.removesuffix("...\n").strip())


def _bounds(field: Schema) -> Iterator[str]:
    if "enum" in field:
        yield ", ".join(code(str(value)) for value in field["enum"])
        return
    yield from _range(field.get("minimum"), field.get("maximum"), "")
    if "exclusiveMinimum" in field:
        yield f"above {field['exclusiveMinimum']:,}"
    for least, most, unit in COUNTED:
        yield from _range(field.get(least), field.get(most), unit)
    if "pattern" in field:
        yield f"matches {code(field['pattern'])}"
    if keys := field.get("x-kubernetes-list-map-keys"):
        yield f"one entry for each {' and '.join(code(key) for key in keys)}"
    if field.get("x-kubernetes-preserve-unknown-fields"):
        yield "further fields are kept as they are"
    inner = field.get("items") or field.get("additionalProperties") or {}
    if inner and inner["type"] != "object" and (told := "; ".join(_bounds(inner))):
        yield f"each {told}"


def _range(least: int | None, most: int | None, unit: str) -> Iterator[str]:
    if least is None and most is None:
        return
    if least is None or (least == 0 and unit):
        text = f"at most {most:,}"
    elif most is None:
        text = f"at least {least:,}"
    elif least == most:
        text = f"{least:,}"
    else:
        text = f"{least:,} to {most:,}"
    yield f"{text} {unit}".rstrip()
