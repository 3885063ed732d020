"""
The door of `loadline` and `kubectl loadline`: runs a command, and ends as `exits` says.

It imports nothing but what imports the standard library, so that an installation without the `sim` extra
can still say what to install, and `--help` doesn't wait for numpy. What the commands
are is in `app`.
"""

import sys
from pathlib import Path

from loadline_cli.exits import CommandError, Exit

EXTRA = "sim"
"""The extra that holds all that the command line needs."""


def main() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    sys.exit(run(sys.argv[1:], program_name(sys.argv[0])))


def program_name(path: str) -> str:
    """How to call us: kubectl finds its plug-ins by their file's name, but people type a space."""
    return "kubectl loadline" if Path(path).name == "kubectl-loadline" else "loadline"


def run(arguments: list[str], program: str) -> int:
    """The exit code of one command; errors are told on stderr."""
    try:
        return _run(arguments, program)
    except CommandError as error:
        print(error.lines(), file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("loadline"):
            raise
        print(_missing(error).lines(), file=sys.stderr)
        return Exit.COULD_NOT_RUN


def _run(arguments: list[str], program: str) -> int:
    from loadline_cli import app

    return app.run(arguments, program)


def _missing(error: ModuleNotFoundError) -> CommandError:
    return CommandError(
        f"this command needs the Python package `{error.name}`, which isn't installed",
        hint=f"pip install 'loadline[{EXTRA}]'",
    )
