"""Options that several commands share, and what a group of commands does when none is named."""

from pathlib import Path
from typing import Annotated

import typer

from loadline_cli.outputs import Output

OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", metavar="table|json", help="Print a table or JSON."),
]

OpenOption = Annotated[
    bool, typer.Option("--open/--no-open", help="Open the report in a browser at the end.")
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for report.html and summary.json.")
]

ContextOption = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="kubeconfig context to use.")
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="kubeconfig to use instead of kubectl's default."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would happen and exit without changing anything.")
]


def show_help_without_a_command(context: typer.Context) -> None:
    """Print the help of a group of commands that is called without one."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
