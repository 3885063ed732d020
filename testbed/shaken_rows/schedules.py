"""
Schedules: a row, and what befalls it when; played, judged, and made smaller.

A schedule is plain data, so that one that was found can be kept as a file, played again to the
same end, and shrunk: events are left out as long as the same promise is broken.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from testbed.shaken_rows.events import HARMLESS, happen
from testbed.shaken_rows.judges import Breach, Judge
from testbed.shaken_rows.rows import CARELESS, LEASE_S, POLCA, RELIEVING, STATIC, Bench

ARMED_AFTER_S: Final = 5.0
"""A row is left alone until all are armed, looked at so often: before that nothing is promised."""

NEVER_ARMED_S: Final = 120.0
"""A row that isn't armed by then is shaken all the same, and promised nothing."""

CALM_S: Final = 50.0
"""At the end nothing more happens, at the worst load: longer than S1 may be excused."""

DOCUMENTS: Final = {"polca": POLCA, "static-cap": STATIC, "relieving": RELIEVING, "careless": CARELESS}


@dataclass(frozen=True, slots=True)
class Event:
    """What befalls whom, so many seconds after the row was left to itself."""

    at_s: float
    kind: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A row and its events in the order of their times; `seconds` before the calm at the end."""

    seed: int
    nodes: int
    events: tuple[Event, ...] = ()
    seconds: float = 40.0
    loss: float = 0.0
    repeat: float = 0.0
    most_delay_s: float = 0.02
    policy: str = "polca"
    lease_s: float = LEASE_S
    drift: float = 0.0

    def text(self) -> str:
        """The schedule as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Schedule":
        """A schedule from its JSON."""
        said: dict[str, Any] = json.loads(text)
        events = tuple(Event(**event) for event in said.pop("events"))
        return cls(events=events, **said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a schedule ended. `beyond_s` is when it left its fault budget, None if it never did."""

    schedule: Schedule
    breaches: tuple[Breach, ...]
    most_heat: float
    virtual_s: float
    beyond_s: float | None
    unholdable_s: float


class Play:
    """One row under a judge, to which things happen; `events` are all of them, as they happened."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.bench = Bench(
            seed=schedule.seed,
            loss=schedule.loss,
            repeat=schedule.repeat,
            most_delay_s=schedule.most_delay_s,
            document=DOCUMENTS[schedule.policy],
            nodes=schedule.nodes,
            lease_s=schedule.lease_s,
            drift=schedule.drift,
        )
        self.judge = Judge(self.bench)
        self.events: list[Event] = []
        self._begun_s = self.bench.world.now
        while not self.judge.armed and self.bench.world.now < self._begun_s + NEVER_ARMED_S:
            self.bench.run(ARMED_AFTER_S)
        self.zero_s = self.bench.world.now
        if not self.judge.armed:
            self.judge.beyond_s = self.zero_s

    @property
    def at_s(self) -> float:
        """Seconds since the row was left to itself."""
        return self.bench.world.now - self.zero_s

    def happen(self, kind: str, index: int) -> None:
        """Let something happen now."""
        self.events.append(Event(round(self.at_s, 6), kind, index))
        if kind not in HARMLESS:
            self.judge.excuse()
        happen(self.bench, kind, index=index)

    def until(self, at_s: float) -> None:
        """Let time pass."""
        self.bench.world.run_until(self.zero_s + at_s)

    def outcome(self) -> Outcome:
        """How it stands."""
        judge = self.judge
        return Outcome(
            schedule=replace(self.schedule, events=tuple(self.events)),
            breaches=tuple(judge.breaches.values()),
            most_heat=judge.most_heat,
            virtual_s=self.bench.world.now - self._begun_s,
            beyond_s=None if judge.beyond_s is None else judge.beyond_s - self.zero_s,
            unholdable_s=judge.unholdable_s,
        )


def played(schedule: Schedule) -> Outcome:
    """Play a schedule to its end."""
    play = Play(schedule)
    for event in schedule.events:
        play.until(event.at_s)
        play.happen(event.kind, event.index)
    play.until(schedule.seconds)
    play.happen("worst", 0)
    play.until(schedule.seconds + CALM_S)
    return replace(play.outcome(), schedule=schedule)


def shrunk(schedule: Schedule, promise: str) -> Schedule:
    """The same with events left out, as long as the promise is broken: halves first, then one by one."""
    size = max(1, len(schedule.events) // 2)
    while size:
        start = 0
        while start < len(schedule.events):
            less = replace(schedule, events=schedule.events[:start] + schedule.events[start + size :])
            if any(breach.promise == promise for breach in played(less).breaches):
                schedule = less
            else:
                start += size
        size //= 2
    return schedule
