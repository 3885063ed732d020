"""
Policy documents: the YAML that a person edits in a ConfigMap, made into a policy.

A document names its schema, its loop and its policy, and holds that policy's
settings. Parsing is strict: an unknown key, a wrong type or thresholds out of order
is one InvalidPolicy with the field, the value and the mend, and whoever holds the
last good document keeps it. The hash of a document's meaning, not of its text, goes
into every status and metric, so that a comment can be edited without a trace.

Called by the operator (to say what is wrong), the coordinator (to decide) and the
simulator; none of them parses by itself.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from loadline_policies.errors import InvalidPolicy
from loadline_policies.power import registry
from loadline_policies.power.rows import PowerPolicy
from loadline_policies.settings import Settings

SCHEMA = "policies.loadline.dev/v1alpha1"
"""The only schema so far; a new one is parsed beside it, never instead."""

DEFAULT_HIGH_PRIORITY_FROM = 1
"""A service counts as high priority from here: anything above the namespace's default of 0."""

DEFAULT_SLO_RELIEF = True
"""It acts only where a service has an `slo`, which is asking for it."""


@dataclass(frozen=True, slots=True)
class PowerDocument:
    """A power policy with its settings, ready to decide.

    `high_priority_from` is the least InferenceService priority of the high class,
    `slo_relief` whether its services are let off a cap under which they miss their SLO.
    """

    policy: PowerPolicy[Any, Any]
    config: Settings
    high_priority_from: int
    hash: str
    slo_relief: bool = True


def parse_power(text: str) -> PowerDocument:
    """The power policy in `text`, one YAML document; InvalidPolicy says what is wrong."""
    content = _mapping(text)
    _expect(content, "schema", SCHEMA)
    _expect(content, "loop", "power")
    unknown = sorted(
        content.keys() - {"schema", "loop", "policy", "highPriorityFrom", "sloRelief", "settings"}
    )
    if unknown:
        raise InvalidPolicy(
            str(unknown[0]),
            content[unknown[0]],
            "remove it, or put it under `settings` if the policy knows it",
        )
    policy = registry.find(str(content.get("policy")))
    high_from = content.get("highPriorityFrom", DEFAULT_HIGH_PRIORITY_FROM)
    if not isinstance(high_from, int) or isinstance(high_from, bool):
        raise InvalidPolicy("highPriorityFrom", high_from, "give a whole number")
    relief = content.get("sloRelief", DEFAULT_SLO_RELIEF)
    if not isinstance(relief, bool):
        raise InvalidPolicy("sloRelief", relief, "give true or false")
    config = _settings(policy, content.get("settings") or {})
    meaning = [policy.name, high_from, relief, config.model_dump(mode="json")]
    return PowerDocument(policy, config, high_from, _hash(meaning), relief)


def _mapping(text: str) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}" if where is not None else "the document"
        raise InvalidPolicy(line, _excerpt(text), "mend the YAML there") from error
    if not isinstance(content, dict):
        raise InvalidPolicy("document", _excerpt(text), "write one YAML mapping with schema, loop and policy")
    return content


def _expect(content: dict[Any, Any], key: str, value: str) -> None:
    if content.get(key) != value:
        raise InvalidPolicy(key, content.get(key), f"set it to `{value}`")


def _settings(policy: PowerPolicy[Any, Any], given: object) -> Settings:
    if not isinstance(given, dict):
        raise InvalidPolicy("settings", given, "write a mapping")
    config: type[Settings] = policy.config
    try:
        return config.model_validate(given)
    except ValidationError as error:
        raise _explained(error, config) from error


def _explained(error: ValidationError, config: type[Settings]) -> InvalidPolicy:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidPolicy):
        return InvalidPolicy(f"settings.{cause.field}", cause.value, cause.mend)
    field = ".".join(str(part) for part in ("settings", *first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(info.alias or name for name, info in config.model_fields.items()))
        return InvalidPolicy(field, first["input"], f"remove it or use one of {known or 'none'}")
    return InvalidPolicy(field, first["input"], first["msg"][:1].lower() + first["msg"][1:])


def _hash(meaning: object) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]


def _excerpt(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[:most] + "…"
