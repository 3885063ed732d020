"""
What the API server may answer, one class for each thing that a caller can do about it.

::

    LoadlineError
    └── KubeError                 the API server didn't do as asked
        ├── Unavailable             not now; ask again later
        ├── Gone                    the version asked for is too old; list again
        ├── NotFound                no such object, or no such kind
        ├── WriteConflict           somebody else was faster; read, then decide again
        └── Refused                 asking again won't help; the sentence says why
            └── Forbidden             not for this identity
"""

from loadline_policies.errors import LoadlineError


class KubeError(LoadlineError):
    """The API server didn't do as asked; `status` is its HTTP status, 0 without an answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class Unavailable(KubeError):
    """The API server can't be reached, is overloaded or broken: ask again later."""


class Gone(KubeError):
    """The resource version asked for is too old: list again."""


class NotFound(KubeError):
    """There is no such object, or the kind isn't installed."""


class WriteConflict(KubeError):
    """The object was changed or made by somebody else meanwhile."""


class Refused(KubeError):
    """The request can't succeed as it is: invalid, or against a policy."""


class Forbidden(Refused):
    """This identity may not do that."""
