"""What every controller of the operator is given: the applier, the journal, the clock, the metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from loadline_api.api_errors import KubeError
from loadline_api.journals import Journal
from loadline_operator.kube.apply import Applier
from loadline_operator.kube.kinds import EVENTS, Key, Kind, Manifest
from loadline_operator.metrics import Metrics

F = TypeVar("F")

log = structlog.get_logger("loadline.operator")


def wall_clock() -> datetime:
    """Now, in UTC: conditions and Events carry times of the wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The operator's means; controllers read the system namespace and the clock from here."""

    applier: Applier
    metrics: Metrics
    journal: Journal
    system_namespace: str
    clock: Callable[[], datetime] = wall_clock

    def unreadable(self, kind: Kind, key: Key, error: Exception) -> None:
        """Count and log an object that isn't shaped as its kind should be: it stops no other."""
        self.metrics.unreadable.labels(kind.kind).inc()
        log.warning("an object can't be read", kind=kind.kind, object=str(key), error=repr(error))

    def fact(self, kind: Kind, read: Callable[[Manifest], F], raw: Manifest) -> F | None:
        """What `read` takes of an object; None, counted and logged, where that can't be read."""
        try:
            return read(raw)
        except Exception as error:  # one odd object stops no other
            self.unreadable(kind, Key.of(raw), error)
            return None

    async def post(self, event: Manifest) -> None:
        """Post an Event: a courtesy, so one that can't be posted stops nobody."""
        try:
            await self.applier.create_event(EVENTS, event)
        except KubeError as error:
            log.warning("an Event was not posted", error=str(error))
