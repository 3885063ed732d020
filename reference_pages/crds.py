"""The page of the custom resources: every field of every kind, and every rule that the API server checks."""

from collections.abc import Iterator
from typing import Any

from loadline_api.generate import DEFINITIONS, Definition, crd
from loadline_api.names import API_VERSION
from reference_pages import cel_rules, schema_fields
from reference_pages.cel_rules import OBJECT, CelRule
from reference_pages.markdown import code, fenced, folded, prose, table
from reference_pages.pages import Page

READING = (
    "You may leave out a field that is neither required nor has a default; its description explains what"
    " happens then. The API server rejects values that are out of bounds, and manifests that break a rule,"
    " with the message in the table of rules; there, `…` stands for values of the manifest. Statuses have no"
    " defaults, and only Loadline writes them."
)


def page() -> Page:
    """All kinds, one after the other."""
    return Page(
        file="crds.md",
        title="Custom resources",
        about=(
            "Loadline adds three kinds to the API server: an InferenceService is a model to serve, a"
            " PowerDomain is a breaker with the nodes behind it, and a NodeCapacity is what the agent of"
            " one node reports. This page lists every field of them with its type, default and bounds, and"
            " every rule between fields."
        ),
        source="the models in `crds/loadline_api`",
        sections=(READING, *(part for one in DEFINITIONS for part in _kind(one))),
    )


def _kind(definition: Definition) -> Iterator[str]:
    resource, version = definition.resource, crd(definition)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {resource.kind}"
    yield f"{prose(schema['description'])} {_facts(definition)}"
    for part in ("spec", "status"):
        yield f"### {resource.kind}: {part}"
        yield _fields(schema["properties"][part], part)
    rules = cel_rules.rules(schema)
    if rules:
        yield f"### {resource.kind}: rules"
        yield from _rules(rules)
    yield f"### {resource.kind}: columns of `kubectl get`"
    yield _columns(version["additionalPrinterColumns"])


def _facts(definition: Definition) -> str:
    resource = definition.resource
    scope = "lives in a namespace" if resource.namespaced else "has no namespace"
    scaled = ", and `kubectl scale` sets its `spec.replicas`" if definition.scale else ""
    names = f"`kubectl get {resource.plural}`, or {code(resource.short_name)} for short, lists them"
    return f"Its `apiVersion` is {code(API_VERSION)}; it {scope}{scaled}. {names}."


def _fields(schema: dict[str, Any], path: str) -> str:
    rows = (
        (code(one.path), one.type, one.default, one.bounds, prose(one.description))
        for one in schema_fields.fields(schema, path)
    )
    return table(("Field", "Type", "Default", "Bounds", "What it means"), rows)


def _rules(found: list[CelRule]) -> Iterator[str]:
    numbered = list(enumerate(found, start=1))
    rows = ((str(number), _named(one), prose(one.message) + _when(one)) for number, one in numbered)
    yield table(("Rule", "Fields", "Message of the API server"), rows)
    listed = "\n\n".join(f"Rule {number}:\n\n{fenced(one.cel, 'cel')}" for number, one in numbered)
    yield folded("The same rules in CEL, by number", listed)


def _named(rule: CelRule) -> str:
    return ", ".join(path if path == OBJECT else code(path) for path in rule.paths)


def _when(rule: CelRule) -> str:
    return " (on updates only)" if rule.is_for_updates else ""


def _columns(columns: list[dict[str, Any]]) -> str:
    rows = (
        (one["name"], code(one["jsonPath"]), "`-o wide` only" if one.get("priority") else "always")
        for one in columns
    )
    return table(("Column", "Field", "Shown"), rows)
