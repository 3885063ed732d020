"""
Asking for confirmation before a command changes a cluster.
"""

import sys

import typer

from loadline_cli.exits import CommandError


def confirm(question: str, *, yes: bool, instead: str) -> None:
    """Ask on stderr unless `yes`; CommandError if stdin is not a terminal or the answer is no.

    `instead` names the options to use if stdin is not a terminal, as "`--yes`, or …".
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "this command asks for confirmation, and stdin is not a terminal", hint=f"use {instead}"
        )
    if not typer.confirm(question, default=False, err=True):
        raise CommandError("not confirmed: nothing was changed")
