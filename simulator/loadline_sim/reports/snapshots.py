"""
A row at one moment, as a screen shows it.

The virtual demo and the live one build the same snapshot once a second and hand it to
whoever shows it, so that neither knows terminals and a screen knows neither plant nor
cluster. Watts, heat and latencies are the plant's; level and caps are what is in force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far an act is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActNow:
    """An act of the demo. `share` of it is over (0 to 1); `note` is what just happened, or came of it."""

    number: int
    title: str
    stage: Stage
    share: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNow:
    """A service of the row, now and as it would be uncapped.

    Latencies are of the requests that ended in the last minutes, None where none did.
    `capped` counts servers whose clock or limit is lowered, `clock_mhz` is their mean SM clock.
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
    """What a decider wrote down, `at_s` seconds into the demo."""

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
"""Whoever wants to be shown the row."""

Progress = Callable[[str, float], None]
"""Told what is being done, in a few words, and the share of it that is over (0 to 1)."""
