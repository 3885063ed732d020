"""
The engine as a command; paths go to stdout, all else to stderr.

    python -m testbed.engines ensure        where the engine's environment is, made if it must be
    python -m testbed.engines model DIR     the small model, written to DIR
    python -m testbed.engines lock          its packages, and the router's, resolved anew into requirements/
    python -m testbed.engines options       its options, read out of its parser into the API's table of them
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from testbed.cluster import commands
from testbed.engines import locks, models, options, venvs

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="A real engine and a small model for tests."
)
stderr = Console(stderr=True, soft_wrap=True)


@app.command()
def ensure() -> None:
    """Make the engine's environment if it isn't there, and print where it is."""
    print(venvs.ensure(stderr).path)


@app.command()
def model(directory: Annotated[Path | None, typer.Argument(help="Where; else in the cache.")] = None) -> None:
    """Write the small model, and print where it is."""
    if directory is None:
        directory = models.ensure()
    else:
        models.write(directory)
    print(directory)


@app.command()
def lock() -> None:
    """Resolve the packages of engine and router into requirements/, pinned and hashed."""
    for path in locks.write():
        stderr.print(f"{path.relative_to(venvs.ROOT)} is written")


@app.command("options")
def write_options() -> None:
    """Read the engine's options into the table that the API's rules follow from."""
    path = options.write(venvs.ensure(stderr))
    stderr.print(f"{path.relative_to(venvs.ROOT)} is written")


def main() -> None:
    """Run the command; what could not be made is a sentence, not a traceback."""
    commands.run(app, stderr)


if __name__ == "__main__":
    main()
