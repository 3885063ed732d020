"""
Policy documents: parses the YAML that a user edits in a ConfigMap into a policy and its settings.

A document names its schema, its loop and its policy, and contains that policy's settings.
Parsing is strict: an unknown key, a wrong type or thresholds in the wrong order raise one
InvalidPolicy with the field, the value and how to fix it, and its caller keeps the last valid
document. No other exception is raised, whatever the text is: `bounded_yaml` rejects a text that is
too large, too deep or too long before building objects from it. Statuses and metrics show a hash
of the parsed values, not of the text, so editing a comment doesn't change it.

The operator calls this to report errors, the coordinator to decide, and the simulator to replay;
none of them parses documents by itself.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from loadline_policies import bounded_yaml, registry
from loadline_policies.errors import InvalidInput, InvalidPolicy
from loadline_policies.fixes import fix_of
from loadline_policies.loops import Loop
from loadline_policies.power.documents import PowerDocument
from loadline_policies.registry import P, Policy
from loadline_policies.settings import Settings

SCHEMA = "policies.loadline.dev/v1alpha1"
"""The only schema so far; a future version is accepted in addition to it."""

HEAD = frozenset({"schema", "loop", "policy", "settings"})
"""Keys that a document of any loop may have."""

DEFAULT_HIGH_PRIORITY_FROM = 1
"""The lowest priority that counts as high: anything above the default of 0."""

DEFAULT_SLO_RELIEF = True
"""On by default, because it affects only services that set an `slo`."""


@dataclass(frozen=True, slots=True)
class ServiceDocument:
    """A parsed document of a loop whose policy each service may choose: its policy and settings."""

    loop: Loop
    policy: Policy
    config: Settings
    hash: str


Document = PowerDocument | ServiceDocument


def parse(text: str, loop: Loop | None = None) -> Document:
    """Parse the policy document in `text`; InvalidPolicy names the field, its value and how to fix it.

    The document may belong to any loop, unless `loop` is given.
    """
    content = _mapping(text)
    _expect(content, key="schema", value=SCHEMA)
    found = _loop(content)
    if loop is not None and found is not loop:
        fix = f"set it to `{loop}`, or change the ConfigMap's label loadline.dev/policy to `{found}`"
        raise InvalidPolicy("loop", str(found), fix=fix)
    return _power(content) if found is Loop.POWER else _of_services(content, found)


def parse_power(text: str) -> PowerDocument:
    """Parse the power policy in `text`; InvalidPolicy if it is invalid or of another loop."""
    document = parse(text, Loop.POWER)
    assert isinstance(document, PowerDocument)
    return document


def content_of(document: PowerDocument) -> dict[str, object]:
    """What a document says, all settings included, as JSON knows it: as text, `parse_power` reads it back."""
    return {
        "schema": SCHEMA,
        "loop": document.loop.value,
        "policy": document.policy.name,
        "highPriorityFrom": document.high_priority_from,
        "sloRelief": document.slo_relief,
        "settings": document.config.model_dump(mode="json", by_alias=True),
    }


@cache
def built_in(loop: Loop) -> ServiceDocument:
    """The policy that is in force in a loop over services where no document chooses one."""
    return _of_services({"policy": next(iter(registry.POLICIES[loop]))}, loop)


def _named(policies: Mapping[str, P], content: dict[Any, Any]) -> P:
    """The policy that a document names; InvalidPolicy if no policy has that name."""
    name = str(content.get("policy"))
    if name not in policies:
        raise InvalidPolicy("policy", name, fix=f"use one of {', '.join(sorted(policies))}")
    return policies[name]


def _power(content: dict[Any, Any]) -> PowerDocument:
    _refuse_unknown(content, {"highPriorityFrom", "sloRelief"})
    policy = _named(registry.POWER, content)
    high_from = content.get("highPriorityFrom", DEFAULT_HIGH_PRIORITY_FROM)
    if not isinstance(high_from, int) or isinstance(high_from, bool):
        raise InvalidPolicy("highPriorityFrom", high_from, fix="set it to an integer")
    relief = content.get("sloRelief", DEFAULT_SLO_RELIEF)
    if not isinstance(relief, bool):
        raise InvalidPolicy("sloRelief", relief, fix="set it to true or false")
    config = _settings(policy, content)
    meaning = [policy.name, high_from, relief, config.model_dump(mode="json")]
    return PowerDocument(policy, config, high_from, _hash(meaning), relief)


def _of_services(content: dict[Any, Any], loop: Loop) -> ServiceDocument:
    _refuse_unknown(content, set())
    policy = _named(registry.POLICIES[loop], content)
    config = _settings(policy, content)
    meaning = [loop.value, policy.name, config.model_dump(mode="json")]
    return ServiceDocument(loop, policy, config, _hash(meaning))


def _mapping(text: str) -> dict[Any, Any]:
    try:
        content = bounded_yaml.read(text)
    except InvalidInput as error:
        raise InvalidPolicy(error.field, error.value, fix=error.fix) from error
    if not isinstance(content, dict):
        fix = "write a YAML mapping with the keys schema, loop and policy"
        raise InvalidPolicy("document", bounded_yaml.excerpt(text), fix=fix)
    return content


def _expect(content: dict[Any, Any], *, key: str, value: str) -> None:
    if content.get(key) != value:
        raise InvalidPolicy(key, content.get(key), fix=f"set it to `{value}`")


def _loop(content: dict[Any, Any]) -> Loop:
    named = content.get("loop")
    try:
        return Loop(str(named))
    except ValueError as error:
        raise InvalidPolicy("loop", named, fix=f"set it to one of {', '.join(Loop)}") from error


def _refuse_unknown(content: dict[Any, Any], more: set[str]) -> None:
    """Raise InvalidPolicy for the first key that documents of the loop don't have; `more` are its own."""
    for key in sorted(content.keys() - HEAD - more, key=str):
        fix = "remove it, or move it under `settings` if it is a setting of the policy"
        raise InvalidPolicy(str(key), content[key], fix=fix)


def _settings(policy: Policy, content: dict[Any, Any]) -> Settings:
    given = content.get("settings") or {}
    if not isinstance(given, dict):
        raise InvalidPolicy("settings", given, fix="write a mapping of settings to values")
    config = policy.config
    try:
        return config.model_validate(given)
    except ValidationError as error:
        raise _explained(error, config) from error


def _explained(error: ValidationError, config: type[Settings]) -> InvalidPolicy:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidPolicy):
        return InvalidPolicy(f"settings.{cause.field}", cause.value, fix=cause.fix)
    field = ".".join(str(part) for part in ("settings", *first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(info.alias or name for name, info in config.model_fields.items()))
        fix = f"remove it or use one of {known}" if known else "remove it: this policy has no settings"
        return InvalidPolicy(field, first["input"], fix=fix)
    return InvalidPolicy(field, first["input"], fix=fix_of(first))


def _hash(meaning: object) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]
