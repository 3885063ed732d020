"""
Whether the domain that a node is armed for is gone, as the API server itself says.

A domain that isn't seen is not gone: a watch may lag, a list may be old, the API server away. So the
object is asked for by its name, and only «not found» counts: twice, half a minute apart, and
nothing else said in between. Every other answer, and none, takes back what was found so far.
"""

from collections.abc import Callable
from typing import Final

from loadline_agent.kube.clients import Kube
from loadline_api.api_errors import NotFound
from loadline_api.names import POWER_DOMAINS

APART_S: Final = 30.0
"""Between the first and the last «not found». From the protocol's rule."""


class GoneDomain:
    """Evidence on one domain at a time; `clock` is CLOCK_BOOTTIME."""

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube, self._clock = kube, clock
        self._name: str | None = None
        self._first_s: float | None = None
        self._proven = False

    @property
    def name(self) -> str | None:
        """The domain that is gone; None where there is no proof of it."""
        return self._name if self._proven else None

    @property
    def pending_s(self) -> float | None:
        """In how many seconds to look again; None where nothing is to be found out."""
        if self._first_s is None or self._proven:
            return None
        return max(0.0, self._first_s + APART_S - self._clock())

    def forget(self) -> None:
        """There is no such domain to ask for, or it was seen."""
        self._name, self._first_s, self._proven = None, None, False

    async def look(self, name: str) -> None:
        """Ask for a domain. Raises KubeError for every answer but the object and «not found»."""
        if name != self._name:
            self.forget()
        self._name = name
        asked_s = self._clock()
        try:
            await self._kube.get(POWER_DOMAINS.path(name))
        except NotFound:
            self._first_s = asked_s if self._first_s is None else self._first_s
            self._proven = asked_s - self._first_s >= APART_S
        except BaseException:
            self.forget()
            raise
        else:
            self.forget()
