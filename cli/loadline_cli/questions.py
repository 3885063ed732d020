"""
Asking before something is done that costs somebody something.
"""

import sys

import typer

from loadline_cli.exits import CommandError


def confirm(question: str, *, yes: bool, instead: str) -> None:
    """Ask on stderr unless `yes`; CommandError if nobody can be asked, or the answer is no.

    `instead` is what to give where stdin is no terminal, as "`--yes`, or …".
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("stdin is no terminal, so nobody can be asked", hint=f"give {instead}")
    if not typer.confirm(question, default=False, err=True):
        raise CommandError("not confirmed: nothing was ordered")
