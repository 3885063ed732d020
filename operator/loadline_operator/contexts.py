"""What every controller of the operator is given: the applier, the journal, the clock, the metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from loadline_operator.journals import Journal
from loadline_operator.kube.apply import Applier
from loadline_operator.metrics import Metrics


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
