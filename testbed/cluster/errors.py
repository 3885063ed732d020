"""What can go wrong while the bed is built, started or spoken to; the text says what to do next."""

from loadline_policies.errors import LoadlineError


class BedError(LoadlineError):
    """The test bed can't do as asked; nothing of it is left behind."""


class BuildFailed(BedError):
    """A binary could not be found or built."""


class ProcessFailed(BedError):
    """A process of the bed ended, or didn't become ready; the text carries the end of its log."""


class ApiError(BedError):
    """The API server answered with a failure. `code` is the HTTP status, `reason` the Status's own."""

    def __init__(self, code: int, *, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.reason = code, reason


class KubectlFailed(BedError):
    """kubectl ended with a failure; the text is what it wrote to stderr."""
