"""
What the API server may answer, one class for each thing that a caller can do about it.

::

    LoadlineError
    └── KubeError                 the API server didn't do as asked
        ├── Unavailable             no answer, or one that says nothing of the request; ask again later
        └── Refused                 an answer: asking the same again won't help; the sentence says why
            ├── Gone                  the version asked for is too old; list again
            ├── NotFound              no such object, or no such kind
            ├── WriteConflict         somebody else was faster; read, then decide again
            ├── Invalid               the manifest must change first
            └── Forbidden             not for this identity, or not in this namespace

Agents and operator ask by clients of their own, and raise these.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loadline_policies.errors import LoadlineError


class KubeError(LoadlineError):
    """The API server didn't do as asked; `status` is its HTTP status, 0 without an answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class Unavailable(KubeError):
    """The API server can't be reached, is overloaded or broken, or can't tell who asks: ask again later."""


class Refused(KubeError):
    """The API server answered, and refuses the request as it is."""


class Gone(Refused):
    """The resource version asked for is too old: list again."""


class NotFound(Refused):
    """There is no such object, or the kind isn't installed."""


class WriteConflict(Refused):
    """The object was changed or made by somebody else meanwhile."""


class Invalid(Refused):
    """The request doesn't fit the kind's schema or rules, or a test of its JSON patch failed."""


class Forbidden(Refused):
    """This identity may not do that, an admission policy forbids it, or the namespace takes no more."""


_BY_STATUS: Final[Mapping[int, type[KubeError]]] = MappingProxyType(
    {
        400: Invalid,
        401: Unavailable,
        403: Forbidden,
        404: NotFound,
        405: NotFound,
        409: WriteConflict,
        410: Gone,
        422: Invalid,
        429: Unavailable,
    }
)
"""405 is the answer of a kind that is being taken away, 401 that of a server that can't check a token now."""


def by_status(status: int) -> type[KubeError]:
    """The error that an HTTP status means; one of no other class is Refused below 500, else Unavailable."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return Refused if 400 <= status < 500 else Unavailable
