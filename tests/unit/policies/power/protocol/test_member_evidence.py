"""What fresh reports show of a row, and that nothing else is told as if it were read back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.protocol.member_evidence import NOTHING_HEARD, Evidence, evidence_of
from loadline_policies.power.protocol.members import REBOOTED_AFTER_S, Member
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.safety.safe_states import SENSOR_GAIN

EPOCH = Epoch(1, "lease")
NAMES = ("a", "b", "c", "d")
HOST_WATTS, LEAST_WATTS, MOST_WATTS, DRAWN_WATTS = 100.0, 200.0, 700.0, 300.0
LOWEST_WATTS = HOST_WATTS + SENSOR_GAIN * LEAST_WATTS
SILENT_AFTER_S = 2.0


def report(node: str, *, armed: bool = True, able: bool = True, enforced: float = 600.0) -> Report:
    gpu = GpuReport(
        uuid=f"{node}/0",
        watts=DRAWN_WATTS,
        enforced_watts=enforced,
        min_watts=LEAST_WATTS,
        max_watts=MOST_WATTS,
        safe_watts=500.0 if armed else None,
        able=able,
        proven=able,
    )
    return Report(
        node=node,
        domain="row",
        sequence=1,
        age_s=0.1,
        host_watts=HOST_WATTS,
        host_max_watts=HOST_WATTS,
        gpus=(gpu,),
        epoch=EPOCH,
        armed=armed,
    )


def roster(*reports: Report, heard_s: float = 0.0) -> Roster:
    members = Roster(SILENT_AFTER_S)
    for one in reports:
        members[one.node] = Member(one.node)
        members[one.node].hear(one, now=heard_s, epoch=EPOCH)
    return members


def shown(members: Roster, now: float = 1.0, budget_watts: float = 2000.0) -> Evidence:
    return evidence_of(members, budget_watts=budget_watts, unholdable_watts=None, now=now)


def test_a_gpu_that_others_set_is_held_by_the_limit_in_force_whatever_it_counts_at() -> None:
    written = report("a", able=False, enforced=MOST_WATTS)
    held = replace(written, gpus=(replace(written.gpus[0], in_force_watts=300.0),))
    assert shown(roster(held)).unable == ("a",)
    assert shown(roster(written)).unable == ()


def test_members_on_which_a_gpu_does_not_obey_are_named_if_they_are_armed_and_heard() -> None:
    members = roster(report("a"), report("b", able=False), report("c", armed=False, able=False))
    members["d"] = roster(report("d", able=False, enforced=MOST_WATTS))["d"]
    assert shown(members).unable == ("b",), "a dead setter at its maximum holds nothing back"
    assert shown(members, now=SILENT_AFTER_S + 0.1).unable == ()


def test_a_row_that_was_heard_shows_its_draw_and_its_lowest_limits() -> None:
    evidence = shown(roster(*map(report, NAMES)))
    assert evidence.heard_watts == len(NAMES) * (HOST_WATTS + DRAWN_WATTS)
    assert evidence.lowest_watts == pytest.approx(len(NAMES) * LOWEST_WATTS)
    assert (evidence.armed, evidence.unarmed, evidence.unlowered) == (4, (), ())
    assert evidence.over_watts == 0.0


def test_who_is_not_armed_and_who_can_not_be_lowered_are_named() -> None:
    members = roster(report("a"), report("b", able=False), report("c", armed=False))
    evidence = shown(members)
    assert (evidence.armed, evidence.unarmed, evidence.unlowered) == (2, ("c",), ("b",))
    held = HOST_WATTS + SENSOR_GAIN * 600.0
    assert evidence.lowest_watts == pytest.approx(2 * LOWEST_WATTS + held)
    assert shown(members, budget_watts=1000.0).over_watts == pytest.approx(evidence.lowest_watts - 1000.0)


def test_a_node_that_holds_its_lowest_limit_and_takes_no_other_is_as_low_as_it_gets() -> None:
    assert shown(roster(report("a", able=False, enforced=LEAST_WATTS))).unlowered == ()


def test_a_node_that_is_planned_for_counts_at_what_the_plan_counts_it() -> None:
    members = roster(report("a"), report("b"))
    members["b"].planned_watts = {"b/0": 650.0}
    evidence = shown(members)
    assert evidence.unlowered == ("b",)
    assert evidence.lowest_watts == pytest.approx(LOWEST_WATTS + HOST_WATTS + SENSOR_GAIN * 650.0)


@pytest.mark.parametrize("age_s", [SILENT_AFTER_S + 0.1, REBOOTED_AFTER_S + 1.0, 1e6])
def test_what_is_not_heard_any_more_shows_nothing(age_s: float) -> None:
    evidence = shown(roster(*map(report, NAMES)), now=age_s)
    quiet = replace(evidence, lowest_watts=0.0, budget_watts=0.0)
    assert quiet == NOTHING_HEARD


def test_a_row_of_which_nothing_is_known_shows_nothing() -> None:
    members = Roster(SILENT_AFTER_S)
    members["a"] = Member("a")
    assert replace(shown(members), budget_watts=0.0) == NOTHING_HEARD


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.0, 10.0)), max_size=6))
def test_only_nodes_that_were_heard_lately_are_told_of(nodes: list[tuple[bool, bool, float]]) -> None:
    members, now = Roster(SILENT_AFTER_S), 10.0
    for number, (armed, able, heard_s) in enumerate(nodes):
        one = report(f"n{number}", armed=armed, able=able)
        members.update(roster(one, heard_s=heard_s))
    fresh = {name for name in members if name not in members.silent(now)}
    evidence = shown(members, now=now)
    assert fresh >= {*evidence.unarmed, *evidence.unlowered}
    assert evidence.armed + len(evidence.unarmed) == len(fresh)
    assert evidence.heard_watts == len(fresh) * (HOST_WATTS + DRAWN_WATTS)
