"""
The rules that span fields, as a user meets them: the sentence with which the API server refuses.

A rule's message is a plain sentence, or a CEL expression that formats one with the values of the
object. Of the latter the sentence is shown with `…` where the values stand.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FORMATTED = re.compile(r"'((?:[^'\\]|\\.)*)'\.format\(\[")
VALUE = re.compile(r"%[sd]")
OBJECT = "the object"
"""Where a rule stands that needs the object's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CelRule:
    """One rule: the fields that the API server names, its sentence, and the rule itself."""

    paths: tuple[str, ...]
    message: str
    cel: str

    @property
    def is_for_updates(self) -> bool:
        """Whether it compares with the object as it was, so that no new object can break it."""
        return "oldSelf" in self.cel


def rules(schema: dict[str, Any]) -> list[CelRule]:
    """All rules of a kind's schema, from the outermost in; a rule that several fields have stands once."""
    paths: dict[tuple[str, str], list[str]] = {}
    for path, rule in _placed(schema, ""):
        paths.setdefault((sentence(rule), rule["rule"]), []).append(path.lstrip(".") or OBJECT)
    return [CelRule(paths=tuple(where), message=message, cel=cel) for (message, cel), where in paths.items()]


def _placed(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, str]]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}{rule.get('fieldPath', '')}", rule
    for name, field in schema.get("properties", {}).items():
        yield from _placed(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from _placed(schema[inner], f"{path}[]")


def sentence(rule: dict[str, str]) -> str:
    """What the API server answers."""
    if "message" in rule:
        return rule["message"]
    formatted = FORMATTED.match(rule["messageExpression"])
    if formatted is None:
        raise ValueError(f"no sentence can be read from {rule['messageExpression']}")
    return VALUE.sub("…", formatted[1]).replace("%%", "%")
