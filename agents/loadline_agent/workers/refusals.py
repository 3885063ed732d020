"""Why a worker's report is refused, and with which HTTP status; each reason is counted by a metric."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loadline_policies.errors import LoadlineError

STATUSES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "Unreadable": 400,
        "NoToken": 401,
        "WrongToken": 401,
        "NotAPod": 403,
        "ForeignPod": 403,
        "OtherNode": 403,
        "OtherService": 403,
        "UnknownPod": 404,
        "TooMany": 429,
        "NotReviewed": 503,
        "NoSettings": 503,
    }
)


class ReportRefused(LoadlineError):
    """A worker's report isn't taken; the sentence, which is the answer's text, says why."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason, self.status = reason, STATUSES[reason]
