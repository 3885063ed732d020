"""
How a command ends: its exit code, and what it says on the way out.

A script reads the code, a person the two lines on stderr: `error: …` names what is
wrong, `hint: …` what to do about it. Commands raise CommandError and know nothing of
streams or codes' numbers; only `main` turns it into both.
"""

from enum import IntEnum

from loadline_api.visible_texts import visible_lines


class Exit(IntEnum):
    """What the shell gets."""

    OK = 0
    FAILURE = 1
    """The command ran, and its answer is no: a document is invalid, a check was missed."""
    COULD_NOT_RUN = 2
    """There is no answer: a wrong option, a file that isn't there, an extra that isn't installed."""
    INTERRUPTED = 130
    """Ctrl-C, by the shells' convention of 128 + SIGINT."""


class CommandError(Exception):
    """A command ends here. `hint` says what to do next, in one line; empty where nothing helps."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.COULD_NOT_RUN) -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code

    def lines(self) -> str:
        """The text for stderr."""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return visible_lines(f"error: {self.message}{hint}")
