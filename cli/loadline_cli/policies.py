"""
`loadline policies`: what policies there are, and whether a document will be taken.

The answer to both comes from the code that the operator and the coordinator run: the
registry, the settings' own fields and `documents.parse_power`. So what is said here is
what would happen there, down to the hash.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, print_json, screen, table
from loadline_policies import documents
from loadline_policies.errors import InvalidPolicy
from loadline_policies.power import registry
from loadline_policies.power.rows import PowerPolicy

STDIN = "-"


def list_policies(name: str | None, output: Output) -> None:
    """Print all policies, or the one of that name, with their settings."""
    chosen = [_find(name)] if name is not None else list(registry.POLICIES.values())
    if output is Output.JSON:
        print_json([_described(policy) for policy in chosen])
        return
    for policy in chosen:
        _print_policy(policy)


def _find(name: str) -> PowerPolicy[Any, Any]:
    try:
        return registry.find(name)
    except InvalidPolicy as error:
        raise CommandError(f"there is no power policy `{name}`", hint=error.mend) from error


def _described(policy: PowerPolicy[Any, Any]) -> dict[str, object]:
    settings = [
        {"name": key, "default": info.default, "description": info.description}
        for key, info in _settings(policy)
    ]
    return {"name": policy.name, "summary": _summary(policy), "settings": settings}


def _settings(policy: PowerPolicy[Any, Any]) -> list[tuple[str, FieldInfo]]:
    return [(info.alias or name, info) for name, info in policy.config.model_fields.items()]


def _summary(policy: PowerPolicy[Any, Any]) -> str:
    """The first line of what its `decide` says of itself."""
    return (policy.decide.__doc__ or "").strip().splitlines()[0]


def _print_policy(policy: PowerPolicy[Any, Any]) -> None:
    console = screen()
    console.print(f"[bold]{policy.name}[/bold]  {_summary(policy)}", soft_wrap=True)
    settings = table("setting", "default", "what it does", right=frozenset({"default"}))
    for key, info in _settings(policy):
        settings.add_row(key, "–" if info.default is None else f"{info.default}", info.description or "")
    console.print(settings if settings.row_count else "nothing to set")
    console.print()


def check(file: str, output: Output) -> None:
    """Print what the documents in `file` would put in force; CommandError where one can't be."""
    checked = [_parsed(where, text) for where, text in _documents(file, _read(file))]
    if output is Output.JSON:
        print_json([_in_force(where, document) for where, document in checked])
        return
    for where, document in checked:
        _print_checked(where, document)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"`{file}` isn't UTF-8 text", hint="give a YAML document") from error
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise CommandError(f"`{file}` can't be read: {reason}") from error


def _documents(file: str, text: str) -> Iterator[tuple[str, str]]:
    """Where each document is and what it says: one in a plain file, any number in a ConfigMap."""
    name = "stdin" if file == STDIN else file
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None  # the parser of documents says where the YAML is broken
    if not isinstance(content, dict) or content.get("kind") != "ConfigMap":
        yield name, text
        return
    data = content.get("data")
    if not isinstance(data, dict) or not data:
        raise CommandError(
            f"`{name}` is a ConfigMap without `data`",
            hint="put the policy document under one key of `data`",
            code=Exit.FAILURE,
        )
    yield from ((f"{name}: data.{key}", str(document)) for key, document in data.items())


def _parsed(where: str, text: str) -> tuple[str, documents.PowerDocument]:
    try:
        return where, documents.parse_power(text)
    except InvalidPolicy as error:
        raise CommandError(
            f"`{where}`: `{error.field}` is {error.value!r}", hint=error.mend, code=Exit.FAILURE
        ) from error


def _in_force(where: str, document: documents.PowerDocument) -> dict[str, object]:
    return {
        "document": where,
        "policy": document.policy.name,
        "highPriorityFrom": document.high_priority_from,
        "sloRelief": document.slo_relief,
        "hash": document.hash,
        "settings": document.config.model_dump(mode="json", by_alias=True),
    }


def _print_checked(where: str, document: documents.PowerDocument) -> None:
    console = screen()
    console.print(
        f"[bold]{where}[/bold] is valid: {document.policy.name}, hash {document.hash}", soft_wrap=True
    )
    settings = table("setting", "value", "default", right=frozenset({"value", "default"}))
    settings.add_row(
        "highPriorityFrom", *_beside(document.high_priority_from, documents.DEFAULT_HIGH_PRIORITY_FROM)
    )
    settings.add_row("sloRelief", *_beside(*map(_word, (document.slo_relief, documents.DEFAULT_SLO_RELIEF))))
    values = document.config.model_dump(mode="json", by_alias=True)
    for key, info in _settings(document.policy):
        settings.add_row(key, *_beside(values[key], info.default))
    console.print(settings)


def _word(flag: bool) -> str:
    """A flag as YAML writes it."""
    return str(flag).lower()


def _beside(value: object, default: object) -> tuple[str, str]:
    shown, usual = ("–" if one is None else f"{one}" for one in (value, default))
    return shown, "" if shown == usual else usual
