"""
What the API server says against a request, as one sentence that stays the same while its cause does.

It names all that it finds wrong, and walks maps on its way: two causes come in one order now, in
the other a moment later. Told as they come they would turn a status, and a line of the log, with each
try. So causes are sorted, and each is told once.
"""

import json
import re
from collections.abc import Hashable
from typing import Any, Final

from loadline_operator.kube.kinds import Manifest

MISFIT: Final = re.compile("failed to (create typed patch object|convert new object)")
"""An apply that doesn't fit the kind's schema: a matter of the manifest alone."""

_ERRORS: Final = ": errors:\n"
_INVALID: Final = " is invalid: "


def sentence(text: bytes) -> str:
    """The API server's own words about a failure, from the Status that it answered."""
    try:
        status = json.loads(text)
        said = str(status["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")[:200]
    if _ERRORS in said:
        head, _, listed = said.partition(_ERRORS)
        return _told(head + ": ", [line.strip() for line in listed.splitlines()])
    causes = _causes(status)
    if _INVALID in said and len(causes) > 1:
        return _told(said[: said.index(_INVALID) + len(_INVALID)], causes)
    return said


def _told(head: str, causes: list[str]) -> str:
    return head + "; ".join(sorted(set(causes)))


def _causes(status: dict[str, Any]) -> list[str]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [f"{one.get('field')}: {one.get('message')}" for one in causes or () if isinstance(one, dict)]


class Misfits:
    """What was said first of a manifest that doesn't fit, by what it is of.

    Of several fields that a kind doesn't know the API server names any one, another with each try.
    Whatever it named first is so for as long as the manifest is the same.
    """

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[Manifest, str]] = {}

    def words(self, about: Hashable, manifest: Manifest, said: str) -> str:
        """What to tell of a refusal that says `said`."""
        if not MISFIT.match(said):
            return said
        before = self._said.get(about)
        if before is None or before[0] != manifest:
            before = self._said[about] = manifest, said
        return before[1]

    def forget(self, about: Hashable) -> None:
        """It is gone."""
        self._said.pop(about, None)
