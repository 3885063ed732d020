"""Whom the plan counts on: who is outside, for how long that is borne, and what it takes to come back."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Epoch, GpuLimit, GpuReport, Report
from loadline_policies.power.protocol.planned_members import (
    CALM_S,
    EXCESS_S,
    LONGEST_PROOF_S,
    OUTSIDE_S,
    PROOF_S,
    UNACKNOWLEDGED_S,
    PlannedMembers,
)
from loadline_policies.power.protocol.rosters import Roster

EPOCH = Epoch(1, "uid")
SAFE = 250.0
NAMES = ("a", "b", "c", "d")
GIVEN = dict.fromkeys(NAMES, SAFE)
BORNE_WATTS = 4 * 1.05 * SAFE * 1.05
"""The row bears its safe limits and a twentieth, which is less than one node at its maximum of 400 W."""


class Row:
    """Four nodes of one GPU without a host, that report every second, and who plans for them."""

    def __init__(self, borne_watts: float = BORNE_WATTS) -> None:
        self.members, self.planned = Roster(silent_after_s=2.0), PlannedMembers()
        self.borne_watts, self.now, self.sequence = borne_watts, 0.0, 0
        self.silent: set[str] = set()
        self.given = dict(GIVEN)
        for name in NAMES:
            self.members[name] = Member(name)
        self.run(1)

    def report(self, node: str) -> Report:
        gpu = GpuReport(
            uuid=node,
            watts=200.0,
            enforced_watts=400.0,
            min_watts=100.0,
            max_watts=400.0,
            able=True,
            proven=True,
            safe_watts=SAFE,
        )
        return Report(
            node=node, domain="row", sequence=self.sequence, age_s=0.0, host_watts=0.0, host_max_watts=0.0,
            gpus=(gpu,), epoch=EPOCH, armed=True,
        )  # fmt: skip

    def run(self, seconds: float) -> bool:
        """Let time pass; whether the plan had to be made anew."""
        moved, end_s = False, self.now + seconds
        while self.now < end_s:
            self.now, self.sequence = self.now + 1.0, self.sequence + 1
            for name in sorted(set(NAMES) - self.silent):
                self.members[name].hear(self.report(name), now=self.now, epoch=EPOCH)
            moved |= self.planned.look(self.members, self.given, borne_watts=self.borne_watts, now=self.now)
        return moved

    @property
    def planned_for(self) -> set[str]:
        return {name for name, member in self.members.items() if member.planned_watts is not None}


@pytest.fixture
def row() -> Row:
    return Row()


def test_members_that_obey_are_part_of_the_plan(row: Row) -> None:
    assert not row.run(OUTSIDE_S * 2)
    assert row.planned_for == set()


def test_a_silent_one_that_the_breaker_bears_is_planned_for_after_ten_minutes() -> None:
    row = Row(borne_watts=10_000.0)
    row.silent = {"a"}
    assert not row.run(OUTSIDE_S - 5.0)
    assert row.run(10.0)
    assert row.planned_for == {"a"}


def test_one_that_the_breaker_does_not_bear_is_planned_for_after_two_seconds(row: Row) -> None:
    row.silent = {"a"}
    assert not row.run(2.0 + EXCESS_S)
    assert row.run(2.0)
    assert row.planned_for == {"a"}
    assert row.members["a"].planned_watts == {"a": 400.0}


def test_short_excesses_add_up(row: Row) -> None:
    """A node that is silent for 3 of 6 s is above what is borne for a second each time."""
    for _ in range(6):
        row.silent = {"a"}
        row.run(4)
        row.silent = set()
        row.run(2)
    assert row.planned_for == {"a"}


def test_excesses_far_apart_do_not(row: Row) -> None:
    for _ in range(6):
        row.silent = {"a"}
        row.run(4)
        row.silent = set()
        row.run(CALM_S + 5.0)
    assert row.planned_for == set()


def test_a_smaller_limit_that_is_not_acknowledged_is_waited_for_ten_seconds() -> None:
    row = Row(borne_watts=10_000.0)
    row.given = {**GIVEN, "a": 200.0}
    assert not row.run(UNACKNOWLEDGED_S)
    assert row.run(2.0)
    assert row.members["a"].planned_watts == {"a": SAFE}, "it counts at what it falls to"


def test_one_that_is_back_is_counted_on_after_proof_and_longer_each_time(row: Row) -> None:
    proofs: list[float] = []
    for _ in range(7):
        row.silent = {"a"}
        row.run(10)
        row.silent, begun_s = set(), row.now
        while row.planned_for:
            row.run(1)
        proofs.append(row.now - begun_s)
    assert proofs[0] == pytest.approx(PROOF_S, abs=2.0)
    assert proofs == sorted(proofs)
    assert proofs[-1] == pytest.approx(LONGEST_PROOF_S, abs=2.0)


def test_while_planned_for_it_counts_at_the_highest_it_had(row: Row) -> None:
    row.silent = {"a"}
    row.run(10)
    row.silent = set()
    row.run(5)
    assert row.members["a"].planned_watts == {"a": 400.0}


def test_a_row_that_is_not_armed_has_nobody_outside() -> None:
    row = Row(borne_watts=1.0)
    for member in row.members.values():
        assert member.report is not None
        member.report = replace(member.report, armed=False)
    row.silent = set(NAMES)
    assert not row.run(30)


def test_who_is_gone_is_forgotten(row: Row) -> None:
    row.silent = {"a"}
    row.run(10)
    del row.members["a"]
    row.silent = {"a", "b"}
    row.run(1)
    assert row.planned_for == set()


steps = st.tuples(
    st.sampled_from(("told", "told", "order", "release", "plan", "silent")),
    st.sampled_from(NAMES),
    st.sampled_from((100.0, 200.0, SAFE, 300.0, 400.0)),
    st.booleans(),
    st.integers(1, 14),
)


class Told(Row):
    """A row whose members report what they were last told to say, until they are told otherwise."""

    def __init__(self, *, anew: bool) -> None:
        self.says: dict[str, Report] = {}
        self.anew = anew
        super().__init__()

    def report(self, node: str) -> Report:
        return replace(self.says.get(node, super().report(node)), sequence=self.sequence)

    def step(self, what: str, name: str, watts: float, *, so: bool) -> None:
        member = self.members[name]
        if what == "told":
            usual = super().report(name)
            gpu = replace(usual.gpus[0], enforced_watts=watts, safe_watts=watts, able=so)
            self.says[name] = replace(usual, gpus=(gpu,), armed=so or watts > SAFE)
        elif what == "order":
            member.order((GpuLimit(uuid=name, watts=watts, safe_watts=watts),), 10**6)
        elif what == "release":
            member.release(10**6, self.now)
        elif what == "plan":
            self.given = {**self.given, name: watts}
        else:
            self.silent ^= {name}

    def run(self, seconds: float) -> bool:
        """As any row; where all are to be looked at anew, the plan is another object each second."""
        moved = []
        for _ in range(int(seconds)):
            self.given = dict(self.given) if self.anew else self.given
            moved.append(super().run(1))
        return any(moved)


@settings(max_examples=100)
@given(st.lists(steps, max_size=15))
def test_who_has_told_nothing_new_stands_where_it_would_be_found_anew(
    done: list[tuple[str, str, float, bool, int]],
) -> None:
    kept, anew = Told(anew=False), Told(anew=True)
    for what, name, watts, so, seconds in done:
        for row in (kept, anew):
            row.step(what, name, watts, so=so)
        assert kept.run(seconds) == anew.run(seconds)
        assert [one.planned_watts for one in kept.members.values()] == [
            one.planned_watts for one in anew.members.values()
        ]
