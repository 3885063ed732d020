"""
The entry point of `loadline` and `kubectl loadline`: runs a command and exits with its code.

It imports nothing beyond the standard library at first, so that an installation without the `sim`
extra can still print what to install, and `--help` doesn't wait for numpy. The commands are in `app`.
"""

import sys
from pathlib import Path

from loadline_cli.exits import CommandError, Exit

EXTRA = "sim"
"""The extra with all packages that the command line needs."""


def main() -> None:
    """Run the command named in `sys.argv` and exit with its code."""
    sys.exit(run(sys.argv[1:], program_name(sys.argv[0])))


def program_name(path: str) -> str:
    """The command as a user types it: kubectl runs the file `kubectl-loadline` for `kubectl loadline`."""
    return "kubectl loadline" if Path(path).name == "kubectl-loadline" else "loadline"


def run(arguments: list[str], program: str) -> int:
    """Run one command, print its error on stderr if it fails, and return its exit code."""
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
