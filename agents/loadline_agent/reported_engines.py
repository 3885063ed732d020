"""
The engines of one node that a loop remembers between two reports, by the uids of their pods.

An engine that is silent for long is forgotten, and so are the longest silent ones of too many. One whose pod
has another service than before begins anew.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from loadline_api.worker_messages import WorkerReport

FORGOTTEN_S: Final = 600.0
"""When an engine that doesn't report any more is forgotten. Chosen."""

MOST_ENGINES: Final = 512
"""Engines remembered: more than a node's pods. Chosen."""


class Reporting(Protocol):
    """What any loop keeps of an engine: its service, `namespace/name`, and when it reported last."""

    service: str
    reported_s: float


E = TypeVar("E", bound=Reporting)


class ReportedEngines(Generic[E]):
    """`make` begins with an engine of a service at a time; `forget` gets the uid of one that is dropped."""

    def __init__(
        self,
        make: Callable[[str, float], E],
        *,
        clock: Callable[[], float],
        forget: Callable[[str], object],
    ) -> None:
        self._make, self._clock, self._forget = make, clock, forget
        self._engines: dict[str, E] = {}

    def seen(self, report: WorkerReport) -> E:
        """The engine that reports now."""
        now, uid = self._clock(), report.pod.uid
        service = f"{report.pod.namespace}/{report.service}"
        engine = self._engines.pop(uid, None)
        if engine is None or engine.service != service:
            engine = self._make(service, now)
        engine.reported_s = now
        self._engines[uid] = engine
        for old in [key for key, one in self._engines.items() if now - one.reported_s > FORGOTTEN_S]:
            self._drop(old)
        while len(self._engines) > MOST_ENGINES:
            self._drop(next(iter(self._engines)))
        return engine

    def lately(self, within_s: float) -> Iterator[E]:
        """Those that have reported within so many seconds."""
        now = self._clock()
        yield from (one for one in self._engines.values() if now - one.reported_s <= within_s)

    def _drop(self, uid: str) -> None:
        del self._engines[uid]
        self._forget(uid)
