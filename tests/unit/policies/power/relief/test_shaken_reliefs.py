"""Relief on rows of paper whose GPUs draw all they may: inside the bound, in order and in turns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.relief.reliefs import (
    CALM_S,
    REST_S,
    End,
    Key,
    Phase,
    Relief,
    Room,
    State,
    decide,
)
from loadline_policies.power.rows import Cap

DEEP = Cap(1110)


@dataclass
class Rack:
    """One service's GPUs on one node, on paper: capped or let go, they draw the most that they may."""

    service: str
    node: str
    priority: int
    missed: float | None = 10.0
    capped_watts: float = 2000.0
    most_watts: float = 3000.0
    watts: float = 2000.0
    lands: list[tuple[float, bool]] = field(default_factory=list)
    relieved_s: float = 0.0

    def claim(self) -> Claim:
        return Claim(
            service=self.service, node=self.node, priority=self.priority, missed=self.missed,
            gpus=(f"{self.node}/{self.service}",), capped=self.watts <= self.capped_watts,
            rise_watts=self.most_watts - self.watts,
        )  # fmt: skip

    def order(self, free: bool, now: float, delay_s: float) -> None:
        if not self.lands or self.lands[-1][1] is not free:
            self.lands.append((max(now + delay_s, self.lands[-1][0] if self.lands else now), free))

    def step(self, now: float) -> None:
        for at_s, free in self.lands:
            if at_s <= now:
                self.watts = self.most_watts if free else self.capped_watts


Rows: TypeAlias = list[tuple[tuple[str, int], float]]
"""Of each rack its service with the priority, and how many watts it may rise by."""

RACKS = st.lists(
    st.tuples(st.sampled_from([("chat", 100), ("search", 100), ("code", 1)]), st.floats(100.0, 2500.0)),
    min_size=2,
    max_size=8,
)


@dataclass
class PaperRow:
    """Racks on a constant background, decided twice a second as a coordinator would."""

    racks: list[Rack]
    room_watts: float
    settle_s: float = 3.0
    now: float = 0.0
    state: State = field(default_factory=State)
    relief: Relief = field(default_factory=Relief)

    def __post_init__(self) -> None:
        self.bound_watts = self.watts() + self.room_watts

    def watts(self) -> float:
        return 50_000.0 + sum(rack.watts for rack in self.racks)

    def step(self, *, delay_s: float, background_watts: float = 0.0, shut: End | None = None) -> None:
        self.now += 0.5
        for rack in self.racks:
            rack.step(self.now)
        self.room = Room(
            watts=self.watts() + background_watts, bound_watts=self.bound_watts,
            settle_s=self.settle_s, low=DEEP, shut=shut,
        )  # fmt: skip
        self.before, claims = self.state, tuple(rack.claim() for rack in self.racks)
        self.claims = {one.key: one for one in claims}
        self.relief, self.state = decide(claims, self.room, self.state, self.now)
        for rack in self.racks:
            free = f"{rack.node}/{rack.service}" in self.relief.gpus
            rack.relieved_s += 0.5 * free
            rack.order(free, self.now, delay_s)

    def begun(self) -> set[Key]:
        """Who was let off by the last decision."""
        was = {turn.key for turn in self.before.turns if turn.phase is Phase.RELIEVED}
        return {turn.key for turn in self.state.turns if turn.phase is Phase.RELIEVED} - was

    def unseen_watts(self) -> float:
        """What may still come of those whom the last decisions have let go."""
        lately = (
            turn
            for turn in self.state.turns
            if turn.phase is Phase.RELIEVED and self.now - turn.since_s < self.settle_s
        )
        return sum(self.claims[turn.key].rise_watts for turn in lately)


def racks_of(rows: Rows) -> list[Rack]:
    return [
        Rack(service, f"node-{i}", priority, most_watts=2000.0 + rise)
        for i, ((service, priority), rise) in enumerate(rows)
    ]


@given(RACKS, st.floats(0.0, 9000.0), st.lists(st.floats(0.0, 2.9), min_size=1, max_size=9))
def test_relief_alone_never_takes_a_row_above_its_bound(
    rows: Rows, room_watts: float, delays: list[float]
) -> None:
    row = PaperRow(racks_of(rows), room_watts)
    for step in range(200):
        row.step(delay_s=delays[step % len(delays)])
        assert row.room.watts <= row.bound_watts + 1e-6


MISSES = st.one_of(st.sampled_from([None, 0.5, 0.95, 1.5, 10.0]), st.floats(-5.0, 10.0))
SHUTS = (End.OFF, End.HELD, End.BRAKE, End.UNCAPPED, End.UNSURE)
"""Why a row may be shut as a whole; the other ends are those of a single claim."""

STEPS = st.lists(
    st.tuples(
        st.lists(MISSES, min_size=8, max_size=8),
        st.floats(-2000.0, 2000.0),
        st.sampled_from([*[None] * 15, *SHUTS]),
        st.integers(1, 90),
    ),
    min_size=2,
    max_size=30,
)


def shaken(rows: Rows, room_watts: float, steps: object) -> Iterator[PaperRow]:
    """The row after each decision, with misses, draws and reasons to shut at random."""
    row = PaperRow(racks_of(rows), room_watts)
    for misses, background_watts, shut, turns in steps:  # type: ignore[attr-defined]
        for rack, missed in zip(row.racks, misses, strict=False):
            rack.missed = missed
        for _ in range(turns):
            row.step(delay_s=1.0, background_watts=background_watts, shut=shut)
            yield row


@given(RACKS, st.floats(0.0, 9000.0), STEPS)
def test_whatever_happens_relief_begins_only_where_there_is_room_for_its_worst(
    rows: Rows, room_watts: float, steps: object
) -> None:
    for row in shaken(rows, room_watts, steps):
        if row.begun():
            assert all(row.claims[key].asks for key in row.begun())
            assert row.room.watts + row.unseen_watts() <= row.bound_watts + 1e-6
        if row.room.shut is not None or row.room.watts > row.bound_watts:
            assert not row.relief.gpus
            assert not row.relief.waiting


@given(RACKS, st.floats(0.0, 9000.0), STEPS)
def test_whatever_happens_nobody_is_let_off_before_a_higher_priority_that_waits(
    rows: Rows, room_watts: float, steps: object
) -> None:
    for row in shaken(rows, room_watts, steps):
        tried = {turn.service for turn in row.state.turns if turn.end in (End.FUTILE, End.WAITED)}
        priorities: dict[Phase, list[int]] = {phase: [] for phase in Phase}
        for turn in row.state.turns:
            if turn.service not in tried:
                priorities[turn.phase].append(row.claims[turn.key].priority)
        if priorities[Phase.WAITING] and priorities[Phase.RELIEVED]:
            assert max(priorities[Phase.WAITING]) <= min(priorities[Phase.RELIEVED])


@given(RACKS, st.floats(0.0, 9000.0), STEPS)
def test_whatever_happens_no_claim_flutters(rows: Rows, room_watts: float, steps: object) -> None:
    begins: dict[Key, list[float]] = {}
    for row in shaken(rows, room_watts, steps):
        if row.room.shut is End.UNCAPPED:
            begins.clear()  # the policy's own hysteresis says how often that may be
        for key in row.begun():
            begins.setdefault(key, []).append(row.now)
    assert all(b - a >= min(REST_S, CALM_S) for times in begins.values() for a, b in pairwise(times))


@pytest.mark.slow
def test_a_service_that_misses_whatever_it_gets_doesnt_keep_its_equals_out() -> None:
    liars = [Rack("liar", f"node-{i}", 100, missed=10.0) for i in range(6)]
    honest = Rack("chat", "node-9", 100, missed=1.2)
    row = PaperRow([*liars, honest], room_watts=2500.0)
    for _ in range(2 * 3600 * 2):
        row.step(delay_s=1.0)
    assert honest.relieved_s >= 0.25 * row.now
    assert max(rack.relieved_s for rack in liars) > 0


@pytest.mark.slow
def test_nor_does_it_keep_out_a_lower_priority() -> None:
    liars = [Rack("liar", f"node-{i}", 100, missed=10.0) for i in range(6)]
    honest = Rack("chat", "node-9", 1, missed=1.2)
    row = PaperRow([*liars, honest], room_watts=2500.0)
    for _ in range(2 * 3600 * 2):
        row.step(delay_s=1.0)
    assert honest.relieved_s >= 0.1 * row.now
