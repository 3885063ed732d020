"""A drill may only lower, ends by itself, and says nothing that wasn't read back."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power import polca
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.drill_states import DrillOrder, DrillOutcome, DrillState
from loadline_policies.power.protocol.gpu_limits import HoldReason, RowOrders
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Lease, Report
from loadline_policies.power.protocol.relievers import Reliever
from loadline_policies.power.safety.breakers import Curve

EPOCH = Epoch(transitions=1, lease_uid="lease")
NAMES = [f"node-{i}" for i in range(6)]
BUDGET_WATTS = 6 * 1169.25
HOST_WATTS = 650.0
SAFE_WATTS = 247.0
POLCA = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
    "settings: {threshold1Percent: 80, threshold2Percent: 90, actuationMillis: 500, brakeHoldSeconds: 0}"
)
DOMAIN = Domain(
    name="row",
    budget_watts=BUDGET_WATTS,
    members=frozenset(NAMES),
    document=POLCA,
    enforce=True,
    curve=Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0))),
)
BEGAN_S = 110.0


def order(text: str = "one", *, age_s: float = 0.5, at: float = BEGAN_S, seconds: float = 10.0) -> DrillOrder:
    """An order that is read at `at`, as old as `age_s` then; the wall clock began 1,000 s before ours."""
    return DrillOrder(text=text, requested_s=1000.0 + at - age_s, seconds=seconds, age_s=age_s, read_s=at)


@dataclass
class Row:
    """Six nodes of two GPUs under one coordinator, second by second."""

    domain: Domain = DOMAIN
    share: float = 0.7
    leases: dict[str, Lease] = field(default_factory=dict)
    sequence: int = 0
    now: float = 100.0
    deaf: frozenset[str] = frozenset()
    """Nodes that take leases and carry nothing out."""

    def __post_init__(self) -> None:
        self.coordinator = Coordinator(self.domain, EPOCH, now=self.now)

    def report(self, node: str) -> Report:
        lease = self.leases.get(node)
        limits = {limit.uuid: limit for limit in lease.limits} if lease is not None else {}
        watts = max(0.0, self.share * 1169.25 - HOST_WATTS) / 2
        gpus = []
        for uuid in (f"{node}/0", f"{node}/1"):
            limit = limits.get(uuid)
            enforced = 400.0 if limit is None or node in self.deaf else limit.watts
            gpus.append(
                GpuReport(
                    uuid=uuid, watts=min(watts, enforced), enforced_watts=enforced, min_watts=100.0,
                    max_watts=400.0, safe_watts=limit.safe_watts if limit is not None else None, able=True,
                    proven=True,
                )
            )  # fmt: skip
        return Report(
            node=node, domain="row", sequence=self.sequence, age_s=0.1, host_watts=HOST_WATTS,
            host_max_watts=HOST_WATTS, gpus=tuple(gpus), armed=bool(limits),
            epoch=lease.epoch if lease else None, lease_sequence=lease.sequence if lease else 0,
        )  # fmt: skip

    def second(self, *, silent: frozenset[str] = frozenset()) -> dict[str, Lease]:
        """All nodes but the silent ones report, then all of them are answered."""
        self.now += 1.0
        self.sequence += 1
        self.coordinator.renewed(self.now)
        spoken = [node for node in NAMES if node not in silent]
        for node in spoken:
            self.coordinator.receive(self.report(node), self.now)
        self.coordinator.decide(self.now)
        answers = {node: self.coordinator.answer(node, self.now) for node in spoken}
        self.leases |= {node: lease for node, lease in answers.items() if lease.act is not Act.OBSERVE}
        return answers

    def until(self, now: float) -> None:
        while self.now < now:
            self.second()

    def declare(self, **changes: object) -> None:
        self.domain = replace(self.domain, **changes)  # type: ignore[arg-type]
        self.coordinator.configure(self.domain, self.now)

    @property
    def drill(self) -> DrillState:
        state = self.coordinator.domain_state(self.now).drill
        assert state is not None
        return state


@pytest.fixture
def row() -> Row:
    """A row that is armed and free, at 110 s."""
    made = Row()
    made.until(BEGAN_S)
    assert made.coordinator.level == "Normal"
    return made


def highest(answers: dict[str, Lease]) -> float:
    return max(limit.watts for lease in answers.values() for limit in lease.limits)


def test_a_drill_holds_every_gpu_at_its_safe_limit_and_then_gives_it_back(row: Row) -> None:
    assert highest(row.second()) == 400.0
    row.declare(drill=order())
    for _ in range(9):
        assert highest(row.second()) == SAFE_WATTS
        assert row.coordinator.level == HoldReason.DRILL
    row.second()
    assert highest(row.second()) == 400.0
    assert row.coordinator.level == "Normal"
    assert row.drill.outcome is DrillOutcome.DONE


def test_what_was_seen_of_every_node_is_told(row: Row) -> None:
    row.share = 0.72
    row.second()
    row.declare(drill=order())
    row.until(BEGAN_S + 12)
    drill = row.drill
    assert [(one.node, one.gpus, one.gpus_at_safe) for one in drill.nodes] == [(n, 2, 2) for n in NAMES]
    assert all(one.after_s == 2.0 and one.over_watts == 0.0 for one in drill.nodes), "answered, then read"
    assert drill.safe_watts is not None
    assert drill.highest_watts is not None
    assert drill.highest_watts <= drill.safe_watts <= BUDGET_WATTS
    assert (drill.budget_watts, drill.begun_age_s) == (BUDGET_WATTS, 1.5)


def test_a_node_that_carries_nothing_out_is_not_seen_at_safe(row: Row) -> None:
    row.second()
    row.deaf = frozenset({"node-3"})
    row.declare(drill=order())
    row.until(BEGAN_S + 12)
    (deaf,) = (one for one in row.drill.nodes if one.node == "node-3")
    assert (deaf.gpus_at_safe, deaf.after_s, deaf.over_watts) == (0, None, 400.0 - SAFE_WATTS)
    assert row.drill.outcome is DrillOutcome.DONE


def test_a_node_that_falls_silent_is_unknown_and_counts_at_what_it_held(row: Row) -> None:
    row.second()
    row.declare(drill=order())
    for _ in range(12):
        row.second(silent=frozenset({"node-3"}))
    (silent,) = (one for one in row.drill.nodes if one.node == "node-3")
    assert (silent.gpus_at_safe, silent.after_s, silent.over_watts) == (0, None, None)


def test_a_gpu_that_rises_again_during_the_hold_is_not_at_safe(row: Row) -> None:
    row.declare(drill=order())
    row.until(BEGAN_S + 5)
    row.deaf = frozenset({"node-3"})
    row.second()
    row.deaf = frozenset()
    row.until(BEGAN_S + 12)
    (one,) = (one for one in row.drill.nodes if one.node == "node-3")
    assert (one.gpus_at_safe, one.after_s) == (0, None)


def test_reports_from_before_the_order_are_no_evidence(row: Row) -> None:
    row.declare(drill=order())
    for node in NAMES:
        late = row.report(node)
        low = tuple(replace(gpu, enforced_watts=100.0) for gpu in late.gpus)
        row.coordinator.receive(replace(late, sequence=row.sequence + 1, gpus=low), row.now + 0.1)
    assert all(one.gpus_at_safe == 0 and one.over_watts is None for one in row.drill.nodes)


def test_its_order_taken_back_ends_a_drill_at_once(row: Row) -> None:
    row.declare(drill=order())
    row.until(BEGAN_S + 3)
    row.declare(drill=None)
    assert highest(row.second()) == 400.0
    assert (row.drill.outcome, row.drill.message) == (DrillOutcome.STOPPED, "its order was taken back")


def test_a_domain_that_is_released_isnt_drilled_any_more_and_lets_nobody_go_on_a_meter_held_down(
    row: Row,
) -> None:
    row.share = 0.79
    row.second()
    row.declare(drill=order())
    row.until(BEGAN_S + 4)
    row.declare(enforce=False)
    assert row.drill.outcome is DrillOutcome.STOPPED
    assert {lease.act for lease in row.second().values()} == {Act.ENFORCE}
    row.until(row.now + 4)
    assert {lease.act for lease in row.leases.values()} != {Act.ENFORCE}


def test_the_policy_believes_in_no_room_that_a_drill_has_made() -> None:
    row = Row(share=0.85)
    row.until(BEGAN_S)
    assert row.coordinator.level == "LowShallow"
    row.declare(drill=order())
    row.share = 0.5
    while row.now < BEGAN_S + 12:
        row.second()
        assert row.coordinator.caps.level == "LowShallow", row.now
    row.until(BEGAN_S + 17)
    assert row.coordinator.level == "Normal", "and no longer than its meter needs"


def test_nobody_is_relieved_in_room_that_a_drill_has_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    relieved = Reliever.relieved

    def watched(self: Reliever, *given: Any, watts: float, **rest: Any) -> RowOrders:
        seen.append(watts)
        return relieved(self, *given, watts=watts, **rest)

    monkeypatch.setattr(Reliever, "relieved", watched)
    row = Row(share=0.85)
    row.until(BEGAN_S)
    seen.clear()
    row.declare(drill=order())
    row.share = 0.5
    row.until(BEGAN_S + 12)
    assert min(seen) >= 0.85 * BUDGET_WATTS - 1.0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (DrillOrder(text="soon", problem="loadline.dev/drill is 'soon': write …"), "is 'soon'"),
        (order(age_s=31.0), "31 s old"),
        (order(age_s=4e8), "s old"),
        (order(age_s=-11.0), "11 s ahead"),
        (order(age_s=-4e8), "s ahead"),
    ],
    ids=["malformed", "old", "years-old", "future", "years-ahead"],
)
def test_an_order_that_is_no_order_of_now_does_nothing_and_is_told(
    bad: DrillOrder, said: str, row: Row
) -> None:
    row.declare(drill=bad)
    assert highest(row.second()) == 400.0
    assert row.drill.outcome is DrillOutcome.REFUSED
    assert said in row.drill.message


def test_one_order_is_one_drill_also_when_the_declaration_is_edited_or_the_order_written_again(
    row: Row,
) -> None:
    row.declare(drill=order())
    row.until(BEGAN_S + 11)
    row.declare(ceiling=row.domain.ceiling)
    assert highest(row.second()) == 400.0
    row.declare(drill=None)
    row.declare(drill=order())
    assert highest(row.second()) == 400.0
    assert row.drill.outcome is DrillOutcome.DONE
    row.declare(drill=order("same time, other length", seconds=20.0))
    assert highest(row.second()) == 400.0
    assert "isn't after" in row.drill.message


def test_a_second_order_while_one_holds_changes_nothing_and_is_never_made_up_for(row: Row) -> None:
    row.declare(drill=order(seconds=5.0))
    row.until(BEGAN_S + 2)
    row.declare(drill=order("two", at=row.now, seconds=30.0))
    row.until(BEGAN_S + 6)
    assert highest(row.second()) == 400.0
    assert (row.drill.order.text, row.drill.outcome) == ("one", DrillOutcome.DONE)


def test_another_one_may_follow(row: Row) -> None:
    row.declare(drill=order(seconds=5.0))
    row.until(BEGAN_S + 7)
    row.declare(drill=order("two", at=row.now, seconds=5.0))
    assert highest(row.second()) == SAFE_WATTS


def test_a_successor_obeys_no_order_that_was_there_before_it() -> None:
    row = Row(domain=replace(DOMAIN, drill=order(at=100.0)))
    row.until(BEGAN_S)
    assert highest(row.second()) == 400.0
    assert (row.drill.outcome, "before this coordinator" in row.drill.message) == (DrillOutcome.REFUSED, True)
    row.declare(drill=order("two", at=row.now))
    assert highest(row.second()) == SAFE_WATTS


def test_only_a_free_row_that_is_heard_and_armed_is_drilled(row: Row) -> None:
    for _ in range(3):
        row.second(silent=frozenset({"node-3"}))
    row.declare(drill=order(at=row.now))
    assert row.drill.message == "nodes don't report: node-3"
    row.until(row.now + 20)
    row.declare(enforce=False)
    row.until(row.now + 20)
    row.declare(drill=order("two", at=row.now))
    assert "spec.mode is Observe" in row.drill.message
    row.declare(enforce=True)
    row.declare(drill=order("three", at=row.now + 1))
    assert "nodes aren't armed: node-0, node-1" in row.drill.message


@given(seconds=st.floats(allow_nan=False), step=st.floats(0.1, 3.0))
def test_whatever_is_asked_a_hold_ends_within_its_bounds(seconds: float, step: float) -> None:
    row = Row()
    row.until(BEGAN_S)
    row.declare(drill=order(seconds=seconds))
    while row.now < BEGAN_S + 30.0 + step:
        row.now += step
        row.coordinator.decide(row.now)
        held = row.coordinator.domain_state(row.now).drill
        assert held is not None
        if row.now < BEGAN_S + 5.0:
            assert held.outcome is DrillOutcome.HOLDING
    assert row.drill.outcome is DrillOutcome.DONE


EDITS: dict[str, dict[str, object]] = {
    "observe": {"enforce": False},
    "enforce": {"enforce": True},
    "narrow": {"budget_watts": 0.97 * BUDGET_WATTS},
    "widen": {"budget_watts": BUDGET_WATTS},
}
SECONDS = st.lists(
    st.tuples(
        st.floats(0.56, 1.1),
        st.frozensets(st.sampled_from(NAMES), max_size=1),
        st.sampled_from(["nothing", "order", "order", "take back", "observe", "enforce", "narrow", "widen"]),
    ),
    min_size=1,
    max_size=40,
)


@given(SECONDS)
def test_a_drill_never_gives_more_than_there_would_have_been(
    seconds: list[tuple[float, frozenset[str], str]],
) -> None:
    """Two coordinators hear the same reports, in which the row obeys the one without drills.

    A node that falls silent under a drill was told less, counts for less, and so it may have the policy do
    less after the drill: then only what is told during it can be compared.
    """
    heard = True
    plain, drilled = Row(), Row()
    plain.until(BEGAN_S)
    drilled.until(BEGAN_S)
    for share, silent, event in seconds:
        for one in (plain, drilled):
            one.share = share
            changed = dict(EDITS.get(event, {}))
            if one is drilled and event in ("order", "take back"):
                text = f"at {one.now}"
                changed = {"drill": order(text, at=one.now) if event == "order" else None}
            one.declare(**changed)
        drilled.leases = dict(plain.leases)
        wanted, got = plain.second(silent=silent), drilled.second(silent=silent)
        held = drilled.coordinator.level == HoldReason.DRILL
        heard &= not silent
        levels = [polca.LADDER.index(one.coordinator.caps.level) for one in (plain, drilled)]
        assert levels[1] >= levels[0] or not heard, "the policy frees nobody because of it"
        for node, lease in got.items():
            assert not (held and lease.act is Act.RELEASE), "nobody is disarmed by it"
            for less, more in zip(lease.limits, wanted[node].limits, strict=False):
                assert less.watts <= more.watts or not (held or heard)
                assert less.safe_watts == more.safe_watts
