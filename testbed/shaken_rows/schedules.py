"""
Schedules: a row, and what befalls it when; made at random, played, judged, and made smaller.

A schedule is plain data, so that one that was found can be kept as a file, played again to the
same end, and shrunk: events are left out as long as the same promise is broken.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Final

from testbed.shaken_rows.events import EVENTS, happen
from testbed.shaken_rows.judges import Breach, Judge
from testbed.shaken_rows.rows import LEASE_S, POLCA, RELIEVING, STATIC, Bench

ARMED_AFTER_S: Final = 5.0
"""A row is left alone until all are armed, looked at so often: before that nothing is promised."""

NEVER_ARMED_S: Final = 120.0
"""A row that isn't armed by then is shaken all the same, and promised nothing."""

CALM_S: Final = 50.0
"""At the end nothing more happens, at the worst load: longer than S1 may be excused."""

DOCUMENTS: Final = {"polca": POLCA, "static-cap": STATIC, "relieving": RELIEVING}


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


THEMES: Final = (
    ("fault", "worst", "idle"),
    ("rival", "worst", "idle"),
    ("setters fail", "one setter fails", "setters are deaf", "worst", "idle"),
    ("kill with guard", "driver reset", "worst", "idle"),
    ("kill leader", "restart", "worst", "mixed", "policy"),
    ("timings", "api", "kill leader", "restart", "worst"),
    ("member", "mode", "observe", "worst", "mixed"),
    ("hostile", "honest", "worst", "outsider"),
    ("reboot", "kill with guard", "restart", "worst"),
    ("stranger", "cron", "driver reset", "worst"),
    ("usurp", "budget", "member", "pause leader"),
    ("lose GPU", "find GPU", "stranger", "worst"),
    ("stop", "resume", "pause", "isolate", "mend"),
)


def drawn(seed: int) -> Schedule:
    """A schedule at random. Few kinds of events each: what many kinds hide, few of them find.

    Half of them are of kinds that have hurt together before.
    """
    random = Random(seed)
    kinds = random.sample(sorted(EVENTS), random.randint(2, 9))
    if random.random() < 0.5:
        kinds = [*random.choice(THEMES), *kinds[: random.randint(0, 3)]]
    seconds = random.choice((20.0, 30.0, 45.0))
    nodes = random.choice((4, 4, 5, 6, 8, 10))
    clean = random.random() < 0.5
    return Schedule(
        seed=seed,
        nodes=nodes,
        events=tuple(_events(random, kinds, nodes=nodes, seconds=seconds)),
        seconds=seconds,
        loss=0.0 if clean else random.choice((0.0, 0.05, 0.3)),
        repeat=0.0 if clean else random.choice((0.0, 0.2)),
        most_delay_s=0.02 if clean else random.choice((0.02, 0.5, 3.0)),
        policy=random.choice(sorted(DOCUMENTS)),
        drift=random.choice((0.0, 0.001)),
    )


def overwhelmed(seed: int) -> Schedule:
    """A row that is led and heard, in which more setters die than can be planned for, at any load."""
    random = Random(seed)
    nodes = random.choice((4, 5, 6, 8, 10))
    dying = random.sample(range(nodes), random.randint((nodes + 1) // 2, nodes))
    kinds = ("setters fail", "setters fail", "setters are deaf", "one setter fails")
    times = sorted(round(random.uniform(0.0, 20.0), 3) for _ in dying)
    deaths = [Event(at_s, random.choice(kinds), index) for at_s, index in zip(times, dying, strict=True)]
    load = [Event(0.0, random.choice(("idle", "idle", "mixed")), 0)]
    return Schedule(seed=seed, nodes=nodes, events=tuple(load + deaths), seconds=25.0)


def _events(random: Random, kinds: list[str], *, nodes: int, seconds: float) -> Iterator[Event]:
    """Load first, since a row that draws little breaks nothing."""
    yield Event(0.0, random.choice(("worst", "worst", "mixed", "idle")), 0)
    at_s = random.uniform(0.0, 5.0)
    mean_s = random.choice((0.5, 2.0, 5.0))
    few = random.sample(range(nodes), random.randint(1, nodes))
    while at_s < seconds:
        yield Event(round(at_s, 3), random.choice(kinds), random.choice(few))
        at_s += random.expovariate(1.0 / mean_s)


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
