"""
The state of a demo's row at one moment, for the terminal.

The live demo builds a snapshot once a second and passes it to the code that shows it. So the
demo doesn't depend on terminals, and the view depends on neither plant nor cluster. Watts,
heat and latencies are the plant's true values; level and caps are those in force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Whether an act is still to come, runs, or is over."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActNow:
    """An act of the demo. `share` of it is over (0 to 1); `note` describes its latest event."""

    number: int
    title: str
    stage: Stage
    share: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNow:
    """A service of the row now, beside its latencies in the uncapped replay.

    Latencies are those of the requests that ended in the last minutes, None if none did. `capped`
    counts the servers whose clock or limit is lowered; `clock_mhz` is the service's mean SM clock.
    """

    name: str
    priority: str
    servers: int
    capped: int
    clock_mhz: float
    p50_s: float | None = None
    p99_s: float | None = None
    uncapped_p50_s: float | None = None
    uncapped_p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One event, `at_s` seconds into the demo."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A row at `at_s` seconds into the demo.

    `thresholds` are fractions of the budget; `history_watts` are means over equal steps of
    `history_step_s` seconds, the oldest first. `heat` is the breaker's, 1 trips it.
    """

    at_s: float
    domain: str
    servers: int
    provisioned_servers: int
    mode: str
    level: str
    row_watts: float
    budget_watts: float
    heat: float
    trips: int = 0
    thresholds: tuple[float, ...] = ()
    history_watts: tuple[float, ...] = ()
    history_step_s: float = 1.0
    services: tuple[ServiceNow, ...] = ()
    acts: tuple[ActNow, ...] = ()
    journal: tuple[JournalLine, ...] = ()

    @property
    def load(self) -> float:
        """The row's draw as a fraction of its budget."""
        return self.row_watts / self.budget_watts

    @property
    def act(self) -> ActNow | None:
        return next((act for act in self.acts if act.stage is Stage.RUNNING), None)


Show = Callable[[Snapshot], None]
"""Receives each snapshot of the row."""
