"""Which settings the ranks of an engine get, whatever the agent answers and whatever the ranks do."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loadline_api.worker_messages import SettingsSection, WorkerSettings
from loadline_policies.errors import LeaseRefused
from loadline_vllm.channel.settings_leases import NO_OP, Change, SettingsLease

RANKS = 2
LEASE_S = 12.0


def settings(generation: int, *, strength: int = 0, lease_s: float = LEASE_S) -> WorkerSettings:
    section = SettingsSection(policy="some", policy_hash="3f2a", settings={"strength": strength})
    return WorkerSettings(generation=generation, lease_s=lease_s, sections={"kv": section})


def change(generation: int, *, strength: int = 0) -> Change:
    return Change(generation, settings(generation, strength=strength).sections)


def took(lease: SettingsLease, *, now: float, generations: Sequence[int | None] | None = None) -> Change:
    """The change that is due, acknowledged by all ranks or as told."""
    due = lease.due(now)
    assert due is not None
    lease.acknowledge((due.generation,) * RANKS if generations is None else generations)
    return due


@pytest.fixture
def lease() -> SettingsLease:
    """That of an engine whose ranks all hold no-op settings."""
    made = SettingsLease(RANKS)
    took(made, now=0.0)
    return made


def test_ranks_get_no_op_settings_first_and_until_then_nothing_is_known_of_them() -> None:
    lease = SettingsLease(RANKS)
    before = lease.generation
    assert took(lease, now=0.0) == NO_OP
    assert (before, lease.generation) == (None, 0)


def test_settings_hold_once_all_ranks_took_them(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    assert took(lease, now=1.1) == change(3)
    assert (lease.generation, lease.highest, lease.withdrawn) == (3, 3, 0)
    assert lease.due(1.2) is None


def test_ranks_get_one_change_at_a_time(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    assert lease.due(1.1) == change(3)
    lease.receive(settings(4), sent_s=2.0, now=2.1)
    assert lease.due(2.1) is None
    lease.acknowledge((3, 3))
    assert lease.due(2.2) == change(4)


def test_the_same_generation_renews_the_lease_and_changes_nothing(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    took(lease, now=1.1)
    lease.receive(settings(3), sent_s=10.0, now=10.1)
    assert lease.due(21.9) is None
    assert lease.lasts_s(21.5) == 0.5


def test_the_lease_runs_from_when_the_report_was_sent(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=8.0)
    took(lease, now=8.0)
    assert lease.due(12.9) is None
    assert lease.due(13.0) == NO_OP
    assert lease.lapses == 1
    assert lease.lasts_s(13.0) is None


def test_settings_whose_lease_lapsed_may_come_again(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    took(lease, now=1.1)
    took(lease, now=13.0)
    lease.receive(settings(3), sent_s=20.0, now=20.1)
    assert took(lease, now=20.1) == change(3)


@pytest.mark.parametrize(
    "generations", [(3,), (3, 0), (3, None), (3, 3, 3), (), (2, 2)], ids=lambda given: f"{given}"
)
def test_a_change_that_not_all_ranks_took_is_withdrawn_from_all(
    lease: SettingsLease, generations: tuple[int | None, ...]
) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    assert took(lease, now=1.1, generations=generations) == change(3)
    counted = lease.generation, lease.withdrawn, lease.withdrawals
    assert took(lease, now=1.2) == NO_OP
    assert (*counted, lease.generation) == (None, 3, 1, 0)


def test_a_withdrawn_generation_is_not_tried_again_and_a_newer_one_is(lease: SettingsLease) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    took(lease, now=1.1, generations=(3, None))
    took(lease, now=1.2)
    lease.receive(settings(3), sent_s=2.0, now=2.1)
    assert lease.due(2.1) is None
    lease.receive(settings(4), sent_s=3.0, now=3.1)
    assert took(lease, now=3.1) == change(4)
    assert lease.withdrawn == 3


def test_no_op_settings_that_not_all_ranks_took_are_sent_again_and_are_no_withdrawal() -> None:
    lease = SettingsLease(RANKS)
    assert took(lease, now=0.0, generations=()) == NO_OP
    assert (lease.generation, lease.withdrawals) == (None, 0)
    assert took(lease, now=1.0) == NO_OP


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (settings(2), "OldGeneration"),
        (settings(3, strength=1), "OtherSettings"),
        (settings(3, lease_s=0.05), "Expired"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_cannot_be_meant_is_refused_and_renews_nothing(
    lease: SettingsLease, answer: WorkerSettings, reason: str
) -> None:
    lease.receive(settings(3), sent_s=1.0, now=1.1)
    took(lease, now=1.1)
    with pytest.raises(LeaseRefused) as refused:
        lease.receive(answer, sent_s=5.0, now=5.1)
    assert refused.value.reason == reason
    assert lease.lasts_s(5.1) == pytest.approx(13.0 - 5.1)
    assert lease.generation == 3


def test_an_acknowledgement_without_a_change_is_a_mistake_of_the_caller(lease: SettingsLease) -> None:
    with pytest.raises(ValueError, match="no change was sent"):
        lease.acknowledge((0, 0))


class Engine(RuleBasedStateMachine):
    """An engine whose agent answers anything and whose ranks fail at random."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lease = SettingsLease(RANKS)
        self.held: list[int] = [0] * RANKS
        self.sent: Change | None = None
        self.leased_until_s = 0.0
        self.withdrawn: set[int] = set()
        self.contents: dict[int, int] = {}

    @rule(seconds=st.floats(min_value=0.0, max_value=15.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        generation=st.integers(min_value=1, max_value=6),
        strength=st.integers(min_value=0, max_value=1),
        late_s=st.floats(min_value=0.0, max_value=14.0),
    )
    def answer(self, generation: int, strength: int, late_s: float) -> None:
        sent_s = self.now - late_s
        try:
            self.lease.receive(settings(generation, strength=strength), sent_s=sent_s, now=self.now)
        except LeaseRefused:
            return
        assert generation == self.lease.highest
        assert self.contents.setdefault(generation, strength) == strength
        self.leased_until_s = sent_s + LEASE_S

    @precondition(lambda self: self.sent is None)
    @rule()
    def send(self) -> None:
        self.sent = self.lease.due(self.now)
        if self.sent is None or self.sent == NO_OP:
            return
        assert self.now < self.leased_until_s
        assert self.sent.generation not in self.withdrawn

    @precondition(lambda self: self.sent is not None)
    @rule(failing=st.lists(st.booleans(), min_size=RANKS, max_size=RANKS))
    def acknowledge(self, failing: list[bool]) -> None:
        assert self.sent is not None
        for rank, fails in enumerate(failing):
            if not fails:
                self.held[rank] = self.sent.generation
        told = [None if fails else self.sent.generation for fails in failing]
        if self.lease.acknowledge(told) is False and self.sent != NO_OP:
            self.withdrawn.add(self.sent.generation)
        self.sent = None

    @invariant()
    def the_generation_that_is_reported_is_the_one_that_all_ranks_hold(self) -> None:
        assert self.lease.generation is None or set(self.held) == {self.lease.generation}

    @invariant()
    def without_a_lease_what_is_due_is_no_op(self) -> None:
        if self.sent is None and self.now >= self.leased_until_s:
            due = self.lease.due(self.now)
            assert due in (None, NO_OP)
            if due is None:
                assert set(self.held) == {0}
            self.sent = due


TestEngine = Engine.TestCase


@given(st.lists(st.lists(st.booleans(), min_size=RANKS, max_size=RANKS), max_size=20))
def test_ranks_that_recover_hold_no_op_settings_in_the_end(failures: list[list[bool]]) -> None:
    lease, held = SettingsLease(RANKS), [0] * RANKS
    lease.receive(settings(3), sent_s=0.0, now=0.0)

    def turn(failing: list[bool], now: float) -> None:
        due = lease.due(now)
        if due is not None:
            held[:] = [was if fails else due.generation for was, fails in zip(held, failing, strict=True)]
            lease.acknowledge([None if fails else due.generation for fails in failing])

    for failing in failures:
        turn(failing, 0.0)
    turn([False] * RANKS, 20.0)
    assert (lease.generation, held) == (0, [0] * RANKS)
