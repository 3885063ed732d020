"""
What the API server may answer, one class for each thing the operator can do about it.

Both are Loadline's errors; only the applier raises them. A refusal is an answer (the
manifest must change first, so trying again is no use), an unreachable server is none
(so the reconcile comes again, later and later).
"""

from loadline_policies.errors import LoadlineError


class ApiRefused(LoadlineError):
    """The API server refuses a request for what it says; `code` is the HTTP status."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class ApiUnavailable(LoadlineError):
    """The API server didn't answer, or answered that it can't just now; try again later."""
