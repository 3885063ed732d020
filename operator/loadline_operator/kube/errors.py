"""
What the API server may answer, one class for each thing the operator can do about it.

`api_requests` raises them, and `list_watches` for a watch that ends in an error. A refusal is
an answer (the manifest must change first, so trying again is no use), an unreachable server is
none (so the reconcile comes again, later and later). Both are errors of `loadline_api.api_errors`.
"""

from loadline_api.api_errors import KubeError, Unavailable

GONE = frozenset({404, 409})
"""Statuses by which a write is refused to an object that isn't there, or is another by now."""


class ApiRefused(KubeError):
    """The API server refuses a request for what it says; `code` is the HTTP status."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence, code)
        self.code = code


class ApiUnavailable(Unavailable):
    """The API server didn't answer, or answered that it can't just now; try again later."""
