"""
Policy documents: the YAML that a person edits in a ConfigMap, made into a policy.

A document names its schema, its loop and its policy, and holds that policy's
settings. Parsing is strict: an unknown key, a wrong type or thresholds out of order
is one InvalidPolicy with the field, the value and the mend, and whoever holds the
last good document keeps it. Nothing else is raised, whatever somebody writes: `bounded_yaml`
refuses what is too much before it is built. The hash of a document's meaning, not of its text, goes
into every status and metric, so that a comment can be edited without a trace.

Called by the operator (to say what is wrong), the coordinator (to decide) and the
simulator; none of them parses by itself.
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
from loadline_policies.loops import Loop
from loadline_policies.mends import mend_of
from loadline_policies.power.documents import PowerDocument
from loadline_policies.registry import P, Policy
from loadline_policies.settings import Settings

SCHEMA = "policies.loadline.dev/v1alpha1"
"""The only schema so far; a new one is parsed beside it, never instead."""

HEAD = frozenset({"schema", "loop", "policy", "settings"})
"""Keys of every document."""

DEFAULT_HIGH_PRIORITY_FROM = 1
"""A service counts as high priority from here: anything above the namespace's default of 0."""

DEFAULT_SLO_RELIEF = True
"""It acts only where a service has an `slo`, which is asking for it."""


@dataclass(frozen=True, slots=True)
class ServiceDocument:
    """The policy of a loop over services with its settings."""

    loop: Loop
    policy: Policy
    config: Settings
    hash: str


Document = PowerDocument | ServiceDocument


def parse(text: str, loop: Loop | None = None) -> Document:
    """The policy in `text`, one YAML document; InvalidPolicy says what is wrong.

    Any loop's will do, unless one is told.
    """
    content = _mapping(text)
    _expect(content, key="schema", value=SCHEMA)
    told = _loop(content)
    if loop is not None and told is not loop:
        raise InvalidPolicy("loop", str(told), mend=f"set it to `{loop}`, or label the document `{told}`")
    return _power(content) if told is Loop.POWER else _of_services(content, told)


def parse_power(text: str) -> PowerDocument:
    """The power policy in `text`, one YAML document; InvalidPolicy says what is wrong."""
    document = parse(text, Loop.POWER)
    assert isinstance(document, PowerDocument)
    return document


@cache
def built_in(loop: Loop) -> ServiceDocument:
    """What is in force in a loop over services where there is no document."""
    return _of_services({"policy": next(iter(registry.POLICIES[loop]))}, loop)


def _named(policies: Mapping[str, P], content: dict[Any, Any]) -> P:
    """The policy that a document names; InvalidPolicy where there is none of that name."""
    name = str(content.get("policy"))
    if name not in policies:
        raise InvalidPolicy("policy", name, mend=f"use one of {', '.join(sorted(policies))}")
    return policies[name]


def _power(content: dict[Any, Any]) -> PowerDocument:
    _refuse_unknown(content, {"highPriorityFrom", "sloRelief"})
    policy = _named(registry.POWER, content)
    high_from = content.get("highPriorityFrom", DEFAULT_HIGH_PRIORITY_FROM)
    if not isinstance(high_from, int) or isinstance(high_from, bool):
        raise InvalidPolicy("highPriorityFrom", high_from, mend="give a whole number")
    relief = content.get("sloRelief", DEFAULT_SLO_RELIEF)
    if not isinstance(relief, bool):
        raise InvalidPolicy("sloRelief", relief, mend="give true or false")
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
        raise InvalidPolicy(error.field, error.value, mend=error.mend) from error
    if not isinstance(content, dict):
        mend = "write one YAML mapping with schema, loop and policy"
        raise InvalidPolicy("document", bounded_yaml.excerpt(text), mend=mend)
    return content


def _expect(content: dict[Any, Any], *, key: str, value: str) -> None:
    if content.get(key) != value:
        raise InvalidPolicy(key, content.get(key), mend=f"set it to `{value}`")


def _loop(content: dict[Any, Any]) -> Loop:
    told = content.get("loop")
    try:
        return Loop(str(told))
    except ValueError as error:
        raise InvalidPolicy("loop", told, mend=f"set it to one of {', '.join(Loop)}") from error


def _refuse_unknown(content: dict[Any, Any], more: set[str]) -> None:
    """Keys beside the head that the loop's documents don't have."""
    for key in sorted(content.keys() - HEAD - more, key=str):
        raise InvalidPolicy(
            str(key), content[key], mend="remove it, or put it under `settings` if the policy knows it"
        )


def _settings(policy: Policy, content: dict[Any, Any]) -> Settings:
    given = content.get("settings") or {}
    if not isinstance(given, dict):
        raise InvalidPolicy("settings", given, mend="write a mapping")
    config = policy.config
    try:
        return config.model_validate(given)
    except ValidationError as error:
        raise _explained(error, config) from error


def _explained(error: ValidationError, config: type[Settings]) -> InvalidPolicy:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidPolicy):
        return InvalidPolicy(f"settings.{cause.field}", cause.value, mend=cause.mend)
    field = ".".join(str(part) for part in ("settings", *first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(info.alias or name for name, info in config.model_fields.items()))
        return InvalidPolicy(field, first["input"], mend=f"remove it or use one of {known or 'none'}")
    return InvalidPolicy(field, first["input"], mend=mend_of(first))


def _hash(meaning: object) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]
