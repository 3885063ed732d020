"""
How the commands of `testbed` end: what went wrong is a sentence and a status, no traceback.
"""

import sys

import typer
from rich.console import Console

from testbed.cluster.errors import BedError


def run(app: typer.Typer, stderr: Console) -> None:
    """Run a command line; an error of the bed, or of what is built for it, ends it with status 1."""
    try:
        app()
    except BedError as error:
        stderr.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
