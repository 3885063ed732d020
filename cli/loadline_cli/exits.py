"""
How a command ends: its exit code and its error message.

A script reads the code, a person the two lines on stderr: `error: …` names what is
wrong, `hint: …` what to do about it. Commands raise CommandError; only `main` prints it
and exits with its code.
"""

from enum import IntEnum

from loadline_api.visible_texts import visible_lines


class Exit(IntEnum):
    """The exit codes that a shell script may rely on."""

    OK = 0
    FAILURE = 1
    """The command ran and its result is negative: a document is invalid, a check failed."""
    COULD_NOT_RUN = 2
    """The command has no result: a wrong option, a missing file, an extra that isn't installed."""
    INTERRUPTED = 130
    """Ctrl-C, by the shells' convention of 128 + SIGINT."""


class CommandError(Exception):
    """Ends the command. `hint` is one line that says what to do next; empty if nothing helps."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.COULD_NOT_RUN) -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code

    def lines(self) -> str:
        """The text for stderr, with control characters escaped."""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return visible_lines(f"error: {self.message}{hint}")
