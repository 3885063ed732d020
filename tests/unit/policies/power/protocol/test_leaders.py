"""When a coordinator begins and ends, and when a report is answered, whatever order things happen in."""

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.leaders import (
    HOLD_SHARE,
    HOLD_SPREAD,
    Answer,
    Began,
    ElectionState,
    Ended,
    Implausible,
    Leader,
    Leased,
    NotAMember,
    NotLeading,
    Output,
    Superseded,
)
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import Timings

START_S = 100.0
POLCA = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\nsettings: {{}}")
DOMAIN = Domain(
    name="row",
    budget_watts=1850.0,
    members=frozenset({"node-0", "node-1", "node-2"}),
    document=POLCA,
    enforce=True,
    curve=Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0))),
    timings=Timings(lease_s=2.0),
)
HOLD_S = HOLD_SHARE * 2.0 * HOLD_SPREAD[1]
FIRST, SECOND = Epoch(1, "uid"), Epoch(2, "uid")


def elected(epoch: Epoch = FIRST, now: float = START_S) -> ElectionState:
    return ElectionState(epoch, now)


def report(node: str = "node-0", sequence: int = 1, *, watts: float = 100.0, epoch: Epoch = FIRST) -> Report:
    gpu = GpuReport(
        uuid=node, watts=watts, enforced_watts=400.0, min_watts=100.0, max_watts=400.0, able=True, proven=True
    )
    return Report(
        node=node, domain="row", sequence=sequence, age_s=0.1, host_watts=300.0, host_max_watts=300.0,
        gpus=(gpu,), epoch=epoch,
    )  # fmt: skip


def kinds(outputs: Iterable[Output]) -> list[tuple[type[Output], int]]:
    """What became of which reports, by their sequence."""
    answers = [one for one in outputs if isinstance(one, Answer)]
    return [(type(one), one.report.sequence) for one in answers]


@pytest.fixture
def leader() -> Leader:
    """One that has led since 100 s, and heard all its members."""
    made = Leader(lambda least, most: most)
    assert made.step(elected(), DOMAIN, START_S) == (Began(FIRST),)
    for number, node in enumerate(sorted(DOMAIN.members)):
        made.report(report(node), elected(), START_S + 0.01 * number)
    made.due(START_S + 1.0)
    return made


def test_nobody_leads_before_an_election_and_a_declaration() -> None:
    leader = Leader(lambda least, most: most)
    assert leader.step(ElectionState(), DOMAIN, START_S) == ()
    assert leader.step(elected(), None, START_S) == ()
    assert kinds(leader.report(report(), elected(), START_S)) == [(NotLeading, 1)]
    assert leader.step(elected(), DOMAIN, START_S) == (Began(FIRST),)


def test_a_leader_that_hears_nobody_gives_up_for_another_candidate() -> None:
    leader = Leader(lambda least, most: most)
    few_s = DOMAIN.timings.lease_s + DOMAIN.timings.silent_after_s
    for now in (START_S, START_S + 1.0, START_S + few_s - 0.1):
        assert not ended(leader.step(ElectionState(FIRST, now, others=2), DOMAIN, now))
    now = START_S + few_s
    assert ended(leader.step(ElectionState(FIRST, now, others=2), DOMAIN, now)) == [Ended(FIRST, "few", 15.0)]


def test_a_leader_that_hears_members_who_are_not_armed_yet_leads_on() -> None:
    """In a large row the last members come late. Who gave up meanwhile would have all of them begin anew."""
    leader = Leader(lambda least, most: most)
    first, *_ = sorted(DOMAIN.members)
    for second in range(25):
        now = START_S + second
        election = ElectionState(FIRST, now, others=2)
        assert not ended(leader.step(election, DOMAIN, now))
        leader.report(report(first, sequence=second + 1), election, now)


def test_the_only_candidate_leads_on_whoever_it_hears() -> None:
    leader = Leader(lambda least, most: most)
    for second in range(120):
        now = START_S + second
        assert not ended(leader.step(elected(now=now), DOMAIN, now))


def test_who_hears_one_of_three_gives_up_after_half_a_minute_and_once_an_hour() -> None:
    leader, epoch, rests = Leader(lambda least, most: most), FIRST, []
    for second in range(9000):
        now = START_S + second
        election = ElectionState(epoch, now, others=1)
        outputs = leader.step(election, DOMAIN, now)
        leader.report(replace(report(sequence=second + 1, epoch=epoch), armed=True), election, now)
        for output in ended(outputs):
            rests.append((second, output.rest_s))
            epoch = Epoch(epoch.transitions + 1, "uid")
    (first, one), (second, two), (third, three) = rests
    assert 30 <= first <= 33
    assert min(second - first, third - second) >= 3600
    assert (one, two, three) == (15.0, 30.0, 60.0)


def ended(outputs: Iterable[Output]) -> list[Ended]:
    """How an epoch has ended, if it has."""
    return [one for one in outputs if isinstance(one, Ended)]


def test_a_report_is_held_for_a_quarter_of_its_lease(leader: Leader) -> None:
    now = START_S + 1.0
    assert leader.report(report(sequence=2), elected(), now) == ()
    assert leader.wake_s == now + HOLD_S
    assert leader.due(now + HOLD_S - 0.01) == ()
    assert kinds(leader.due(now + HOLD_S)) == [(Leased, 2)]
    assert leader.wake_s == math.inf


def test_a_report_is_never_held_for_longer_than_a_reaction_counts_on(leader: Leader) -> None:
    slow = replace(DOMAIN, timings=Timings(lease_s=8.0, report_s=1.0))
    leader.step(
        elected(), replace(slow, curve=Curve(points=((1.05, math.inf), (1.3, 4000.0)))), START_S + 1.0
    )
    leader.report(report(sequence=2), elected(), START_S + 1.0)
    assert leader.wake_s == START_S + 2.0


def test_a_report_out_of_turn_ends_the_held_one_and_is_answered_at_once(leader: Leader) -> None:
    leader.report(report(sequence=2), elected(), START_S + 1.0)
    assert kinds(leader.report(report(sequence=3), elected(), START_S + 1.1)) == [
        (Superseded, 2),
        (Leased, 3),
    ]
    assert leader.wake_s == math.inf


def test_an_overtaken_report_is_over_and_the_one_that_is_held_gets_its_lease(leader: Leader) -> None:
    leader.report(report(sequence=3), elected(), START_S + 1.0)
    assert kinds(leader.report(report(sequence=2), elected(), START_S + 1.1)) == [
        (Leased, 3),
        (Superseded, 2),
    ]


def test_whoever_must_get_less_is_answered_because_of_anothers_report(leader: Leader) -> None:
    now = START_S + 1.0
    for node in sorted(DOMAIN.members):
        leader.report(report(node, 2), elected(), now)
    leader.due(now + HOLD_S)
    now += 1.0
    leader.report(report("node-0", 3), elected(), now)
    leader.report(report("node-1", 3), elected(), now)
    out = leader.report(report("node-2", 3, watts=790.0), elected(), now + 0.1)
    assert sorted(kinds(out), key=str) == [(Leased, 3)] * 3


def test_a_report_that_cannot_be_true_is_refused_and_changes_nothing(leader: Leader) -> None:
    coordinator = leader.coordinator
    assert coordinator is not None
    before = coordinator.load
    (answer,) = leader.report(replace(report(), age_s=-1.0, sequence=9), elected(), START_S + 0.5)
    assert isinstance(answer, Implausible)
    assert "report.ageSeconds is -1.0" in answer.sentence
    assert coordinator.load == before


def test_an_armed_node_of_another_row_is_no_member_here(leader: Leader) -> None:
    stranger = replace(report("node-of-another-row"), armed=True)
    assert kinds(leader.report(stranger, elected(), START_S + 0.5)) == [(NotAMember, 1)]


def test_a_node_that_is_no_member_is_told_so(leader: Leader) -> None:
    assert kinds(leader.report(report("node-9"), elected(), START_S + 1.0)) == [(NotAMember, 1)]


def test_whoever_has_left_while_its_report_was_held_hears_that_nobody_leads_it() -> None:
    leader, watched = Leader(lambda least, most: most), replace(DOMAIN, enforce=False)
    leader.step(elected(), watched, START_S)
    leader.report(report("node-2", 2), elected(), START_S + 1.0)
    smaller = replace(watched, members=frozenset({"node-0", "node-1"}))
    assert kinds(leader.step(elected(), smaller, START_S + 1.1)) == [(NotLeading, 2)]


def test_a_lost_election_ends_it_and_every_held_report(leader: Leader) -> None:
    leader.report(report(sequence=2), elected(), START_S + 1.0)
    out = leader.step(ElectionState(), DOMAIN, START_S + 1.1)
    assert out[0] == Ended(FIRST, "lost")
    assert kinds(out) == [(NotLeading, 2)]
    assert leader.coordinator is None


def test_one_that_hears_of_a_higher_epoch_from_two_members_is_over(leader: Leader) -> None:
    leader.report(report("node-1", sequence=2, epoch=SECOND), elected(), START_S + 1.0)
    out = leader.report(report(sequence=3, epoch=SECOND), elected(), START_S + 1.0)
    assert out[0] == Ended(FIRST, "over")
    assert kinds(out) == [(NotLeading, 2), (NotLeading, 3)]


def test_a_member_that_tells_of_a_higher_epoch_for_ever_is_refused_and_named(leader: Leader) -> None:
    leader.report(report(sequence=2, epoch=SECOND), elected(), START_S + 1.0)
    (out,) = leader.report(report(sequence=3, epoch=SECOND), elected(now=START_S + 2.0), START_S + 2.5)
    assert isinstance(out, Implausible)
    assert out.sentence.startswith("report.epoch.transitions is 2: the API server has renewed 1 since")


def test_an_ended_epoch_is_never_led_again(leader: Leader) -> None:
    assert leader.close() == (Ended(FIRST, "stopped"),)
    assert leader.step(elected(), DOMAIN, START_S + 1.0) == ()
    assert leader.step(elected(SECOND), DOMAIN, START_S + 2.0) == (Began(SECOND),)
    assert leader.close() == (Ended(SECOND, "stopped"),)
    assert leader.close() == ()


def test_a_report_for_which_nobody_waits_is_answered_no_more(leader: Leader) -> None:
    one = report(sequence=2)
    leader.report(one, elected(), START_S + 1.0)
    leader.forget(replace(one, sequence=1))
    assert leader.wake_s < math.inf
    leader.forget(one)
    assert leader.due(START_S + 5.0) == ()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report", "again", "step", "due", "lose", "win", "watts"]),
        st.integers(0, 2),
        st.floats(0.0, 1.0),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_report_is_answered_once(steps: list[tuple[str, int, float]]) -> None:
    leader, now, transitions, sequence = Leader(lambda least, most: most), START_S, 1, 0
    election = elected()
    open_: dict[int, Report] = {}
    last = report()

    def note(outputs: Iterable[Output]) -> None:
        for one in outputs:
            if isinstance(one, Answer):
                assert open_.pop(id(one.report), None) is one.report, "answered twice, or never asked"

    def ask(asked: Report) -> None:
        open_[id(asked)] = asked
        note(leader.report(asked, election, now))

    for kind, index, wait_s in steps:
        now += wait_s
        match kind:
            case "report" | "watts":
                sequence += 1
                last = report(f"node-{index}", sequence, watts=3000.0 if kind == "watts" else 200.0)
                ask(last)
            case "again":
                ask(replace(last))
            case "step":
                note(leader.step(election, DOMAIN, now))
            case "due":
                note(leader.due(now))
            case "lose":
                election = ElectionState()
            case "win":
                transitions += 1
                election = ElectionState(Epoch(transitions, "uid"), now)
    note(leader.due(now + 10.0))
    assert open_ == {}
