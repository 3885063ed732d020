"""The benchmark of reactions counts what it says, and misses its goals where they are missed."""

from dataclasses import replace

import pytest

from benchmarks import coordinator_costs, reaction
from benchmarks.reaction import Played
from benchmarks.reaction_rows import Calm, Reaction
from loadline_policies.power.protocol.coordinators import Coordinator

CALM = Calm(leader_cores=0.3, member_cores=0.01, reports_hz=100.0)
QUICK = Reaction(readback_s=(0.2, 0.3), fan_out_s=0.1, heard_s=(0.2, 0.3), decided_s=0.1)
PLAYED = Played(calm=CALM, reactions=(QUICK, QUICK), step_downs=0)


def checks(small: Played = PLAYED, large: Played = PLAYED, **figures: float) -> dict[str, bool]:
    given = {"decide_us": 40.0, "plan_ms": 3.0} | figures
    return {check.name: check.ok for check in reaction._checks(small, large, **given)}


def test_rows_that_react_in_time_keep_every_check() -> None:
    assert all(checks().values())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "overload_to_readback_p99_s_52",
            checks(small=replace(PLAYED, reactions=(QUICK, replace(QUICK, readback_s=(0.7,))))),
        ),
        (
            "overload_to_readback_p99_s_1024",
            checks(large=replace(PLAYED, reactions=(replace(QUICK, readback_s=(1.3,)),))),
        ),
        ("fan_out_p99_s", checks(large=replace(PLAYED, reactions=(replace(QUICK, fan_out_s=None),)))),
        ("fan_out_p99_s", checks(large=replace(PLAYED, reactions=(replace(QUICK, fan_out_s=0.7),)))),
        ("coordinator_cores", checks(large=replace(PLAYED, calm=replace(CALM, leader_cores=0.6)))),
        ("growth_exponent", checks(large=replace(PLAYED, calm=replace(CALM, leader_cores=0.45)))),
        ("decide_us", checks(decide_us=51.0)),
        ("operator_plan_ms", checks(plan_ms=51.0)),
    ],
)
def test_a_figure_above_its_goal_is_a_missed_check(name: str, found: dict[str, bool]) -> None:
    assert not found[name]


def test_a_cost_for_each_report_that_is_the_same_in_a_larger_row_does_not_grow() -> None:
    large = replace(PLAYED, calm=Calm(leader_cores=2.91, member_cores=0.01, reports_hz=1000.0))
    assert reaction.growth_exponent(PLAYED, large) == pytest.approx(0.0)


def test_members_on_paper_report_about_once_a_second_and_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    led: list[Coordinator] = []
    decide = Coordinator.decide

    def noted(self: Coordinator, now: float) -> None:
        led.append(self)
        decide(self, now)

    monkeypatch.setattr(Coordinator, "decide", noted)
    cost = coordinator_costs.measured(6, seconds=10.0)
    assert 6 * 9 <= cost.reports <= 6 * 13
    assert 0.0 < cost.decide_us < cost.report_us
    assert led[-1].members.enforcing
