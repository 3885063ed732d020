"""The page of the command line: every command's help as a terminal shows it, and every exit code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from loadline_cli.app import app
from loadline_cli.exits import Exit
from reference_pages.markdown import code, fenced, prose, table
from reference_pages.pages import Page

WIDTH = 100
"""Columns of the terminal whose help is shown."""

CODES = re.compile(r"Exit codes: (.+)\.$", re.MULTILINE)
ONE_CODE = re.compile(r"(\d+) (.+?)(?=, \d+ |$)")

READING = (
    "Call each command as `loadline …` or, if the program `kubectl-loadline` is in the `PATH`, as"
    " `kubectl loadline …`. Results go to stdout, everything else to stderr: a line with `error:` names the"
    " error, a line with `hint:` the fix. With `-o json` a command prints JSON.",
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command by the words that call it, and its help."""

    path: str
    help: str
    exit_codes: dict[int, str]


def page() -> Page:
    """All commands, each before its own."""
    found = list(commands())
    return Page(
        file="cli.md",
        title="Command line",
        about=(
            "The program `loadline` runs the demo, lists policies and checks policy documents, drills a"
            " PowerDomain, and releases a node. This page has the help of every command as the program"
            " prints it, and the meaning of each exit code."
        ),
        source="`cli/loadline_cli/app.py`",
        sections=(
            *READING,
            "## Exit codes",
            f"Ctrl-C ends every command with {Exit.INTERRUPTED:d}, as shells expect it.",
            _exit_codes(found),
            *(part for one in found for part in (f"## {one.path}", fenced(one.help, "text"))),
        ),
    )


def commands() -> Iterator[Command]:
    """Every command that the parser knows."""
    yield from _below(typer.main.get_command(app), "loadline", None)


def _below(command: Any, name: str, parent: typer.Context | None) -> Iterator[Command]:
    settings = command.context_settings
    context = typer.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, **settings)
    codes = CODES.search(command.help or "")
    told = {int(number): meaning for number, meaning in ONE_CODE.findall(codes[1] if codes else "")}
    yield Command(context.command_path, command.get_help(context), told)
    if isinstance(command, TyperGroup):
        for below in command.list_commands(context):
            yield from _below(command.get_command(context, below), below, context)


def _exit_codes(found: list[Command]) -> str:
    shown = [code for code in Exit if code is not Exit.INTERRUPTED]
    rows = (
        (code(one.path), *(prose(one.exit_codes.get(number, "")) for number in shown))
        for one in found
        if one.exit_codes
    )
    return table(("Command", *(f"{number:d}" for number in shown)), rows)
