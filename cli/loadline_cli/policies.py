"""
`loadline policies`: lists the policies, and checks whether a policy document is valid.

Both use the code that the operator and the coordinator run: the registry, the fields of the
settings, and `documents.parse`. So the output matches what a cluster would do with the same
document, including its hash.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic.fields import FieldInfo

from loadline_api.visible_texts import visible
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, print_json, screen, table
from loadline_policies import documents
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import Loop
from loadline_policies.power.documents import PowerDocument
from loadline_policies.registry import POLICIES, Policy

if TYPE_CHECKING:
    from rich.text import Text

STDIN = "-"


def list_policies(name: str | None, output: Output) -> None:
    """Print all policies with their settings, or only those of the loop or policy called `name`."""
    chosen = [(loop, policy) for loop, policy in _all() if name in (None, loop, policy.name)]
    if not chosen:
        known = ", ".join(dict.fromkeys(policy.name for _, policy in _all()))
        raise CommandError(
            f"there is no policy or loop `{name}`",
            hint=f"use one of the loops {', '.join(Loop)}, or one of the policies {known}",
        )
    if output is Output.JSON:
        print_json([_described(loop, policy) for loop, policy in chosen])
        return
    for loop, policy in chosen:
        _print_policy(loop, policy)


def _all() -> Iterator[tuple[Loop, Policy]]:
    """Every policy with its loop, in the order of the registry."""
    for loop, policies in POLICIES.items():
        yield from ((loop, policy) for policy in policies.values())


def _described(loop: Loop, policy: Policy) -> dict[str, object]:
    settings = [
        {"name": key, "default": info.default, "description": info.description}
        for key, info in _settings(policy)
    ]
    return {"loop": loop, "name": policy.name, "summary": policy.summary, "settings": settings}


def _settings(policy: Policy) -> list[tuple[str, FieldInfo]]:
    return [(info.alias or name, info) for name, info in policy.config.model_fields.items()]


def _print_policy(loop: Loop, policy: Policy) -> None:
    console = screen()
    console.print(_titled(policy.name, f" ({loop})  {policy.summary}"), soft_wrap=True)
    settings = table("setting", "default", "meaning", right=frozenset({"default"}))
    for key, info in _settings(policy):
        settings.add_row(key, "–" if info.default is None else f"{info.default}", info.description or "")
    console.print(settings if settings.row_count else "no settings")
    console.print()


def check(file: str, output: Output) -> None:
    """Print the policies that the documents in `file` put in force; CommandError if one is invalid."""
    checked = [_parsed(where, text) for where, text in _documents(file, _read(file))]
    if output is Output.JSON:
        print_json([_in_force(where, document) for where, document in checked])
        return
    for where, document in checked:
        _print_checked(where, document)


def power_document(file: str) -> PowerDocument:
    """The one power policy in `file`; CommandError if it can't be read, is invalid, or is of another loop."""
    try:
        found = [_parsed(where, text) for where, text in _documents(file, _read(file))]
    except CommandError as error:
        error.code = Exit.COULD_NOT_RUN  # of a check it is the result, here there is none
        raise
    if len(found) != 1:
        raise CommandError(f"`{file}` has {len(found)} documents", hint="give a file with one of them")
    where, document = found[0]
    if not isinstance(document, PowerDocument):
        raise CommandError(
            f"`{where}` is a policy of the loop {document.loop}", hint="give one of loop power"
        )
    return document


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"`{file}` isn't UTF-8 text", hint="name a YAML file") from error
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise CommandError(f"can't read `{file}`: {reason}") from error


def _documents(file: str, text: str) -> Iterator[tuple[str, str]]:
    """The location and text of each document: one in a plain file, any number in a ConfigMap."""
    name = "stdin" if file == STDIN else file
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None  # documents.parse reports the line of the YAML error
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


def _parsed(where: str, text: str) -> tuple[str, documents.Document]:
    try:
        return where, documents.parse(text)
    except InvalidPolicy as error:
        raise CommandError(
            f"`{where}`: `{error.field}` is {error.shown}", hint=error.fix, code=Exit.FAILURE
        ) from error


def _in_force(where: str, document: documents.Document) -> dict[str, object]:
    return {
        "document": where,
        "loop": document.loop,
        "policy": document.policy.name,
        **_beside_settings(document),
        "hash": document.hash,
        "settings": document.config.model_dump(mode="json", by_alias=True),
    }


def _beside_settings(document: documents.Document) -> dict[str, object]:
    """The fields of a document besides its policy's settings; only the power loop has some."""
    if not isinstance(document, PowerDocument):
        return {}
    return {"highPriorityFrom": document.high_priority_from, "sloRelief": document.slo_relief}


def _print_checked(where: str, document: documents.Document) -> None:
    console = screen()
    so = f" is valid: {document.policy.name} ({document.loop}), hash {document.hash}"
    console.print(_titled(visible(where), so), soft_wrap=True)
    settings = table("setting", "value", "default", right=frozenset({"value", "default"}))
    if isinstance(document, PowerDocument):
        relief = map(_word, (document.slo_relief, documents.DEFAULT_SLO_RELIEF))
        settings.add_row(
            "highPriorityFrom", *_beside(document.high_priority_from, documents.DEFAULT_HIGH_PRIORITY_FROM)
        )
        settings.add_row("sloRelief", *_beside(*relief))
    values = document.config.model_dump(mode="json", by_alias=True)
    for key, info in _settings(document.policy):
        settings.add_row(key, *_beside(values[key], info.default))
    console.print(settings if settings.row_count else "no settings")


def _titled(title: str, text: str) -> "Text":
    from rich.text import Text

    return Text.assemble((title, "bold"), text)


def _word(flag: bool) -> str:
    """A flag as YAML writes it."""
    return str(flag).lower()


def _beside(value: object, default: object) -> tuple[str, str]:
    shown, usual = ("–" if one is None else f"{one}" for one in (value, default))
    return shown, "" if shown == usual else usual
