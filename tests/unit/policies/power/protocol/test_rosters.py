"""The sums that a roster keeps up with each report are those that would be made anew over all members."""

from dataclasses import replace
from math import inf, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_policies.power.protocol.members import REBOOTED_AFTER_S, Member
from loadline_policies.power.protocol.messages import Epoch, GpuLimit, GpuReport, Report
from loadline_policies.power.protocol.rosters import Roster

NAMES = tuple("abcd")
EPOCHS = (Epoch(1, "uid"), Epoch(2, "uid"))
SILENT_AFTER_S = 2.0
GPU = GpuReport(
    uuid="", watts=100.0, enforced_watts=300.0, min_watts=100.0, max_watts=400.0, safe_watts=200.0, able=True,
    proven=True,
)  # fmt: skip
"""One that obeys: any other counts at its most, whatever is ordered."""


def report(node: str, *, watts: float, age_s: float, epoch: Epoch) -> Report:
    gpu = replace(GPU, uuid=f"{node}/0", watts=watts)
    return Report(
        node=node, domain="row", sequence=1, age_s=age_s, host_watts=200.0, host_max_watts=300.0, gpus=(gpu,),
        epoch=epoch, armed=True,
    )  # fmt: skip


steps = st.tuples(
    st.sampled_from(("report", "report", "report", "order", "release", "slack", "join", "leave", "plan")),
    st.sampled_from(NAMES),
    st.floats(0.0, 400.0),
    st.sampled_from((0.0, 0.3, 0.9, 1.9, 2.0, 2.1, 31.0)),
    st.sampled_from(EPOCHS),
)


def check(roster: Roster, now: float) -> None:
    members = roster.values()
    silent = tuple(sorted(one.name for one in members if not one.fresh(now, SILENT_AFTER_S)))
    heard = [one for one in members if one.report is not None]
    assert roster.silent(now) == silent
    assert roster.silent_count(now) == len(silent)
    unplanned = sum(roster[name].planned_watts is None for name in silent)
    assert [roster.has_unplanned(count, now) for count in (0, 1, 2)] == [unplanned > one for one in (0, 1, 2)]
    tolerance = pytest.approx(0.0, abs=0.001 * len(NAMES))
    assert roster.watts(now) - sum(one.watts(now, SILENT_AFTER_S) for one in members) == tolerance
    assert roster.hot_watts(now) - sum(one.hot_watts(now, SILENT_AFTER_S) for one in members) == tolerance
    nameplates = sum(one.rating.nameplate_watts for one in members if one.rating is not None)
    assert roster.nameplate_watts - nameplates == tolerance
    heard_slack = sum(one.slack_watts for one in members if one.name not in silent)
    assert roster.slack_watts - heard_slack == tolerance
    oldest_s = max((now - one.heard_s + one.report.age_s for one in heard if one.report), default=0.0)
    assert roster.age_s(now) == pytest.approx(oldest_s)
    assert roster.acquainted == (len(heard) == len(members))
    for epoch in EPOCHS:
        assert roster.report_epoch(epoch) == all(one.reports_epoch(epoch) for one in members)


@settings(max_examples=300)
@given(st.lists(steps, max_size=40))
def test_what_is_kept_up_is_what_would_be_counted_anew(
    done: list[tuple[str, str, float, float, Epoch]],
) -> None:
    roster, now = Roster(SILENT_AFTER_S), 100.0
    for name in NAMES[:2]:
        roster[name] = Member(name)
    for number, (kind, name, watts, pause_s, epoch) in enumerate(done):
        now += pause_s
        if kind == "join":
            roster.setdefault(name, Member(name))
        elif name not in roster:
            continue
        elif kind == "leave":
            del roster[name]
        elif kind == "report":
            roster.hear(report(name, watts=watts, age_s=watts / 400.0, epoch=epoch), now=now, epoch=epoch)
        elif kind == "order":
            limit = GpuLimit(uuid=f"{name}/0", watts=watts, safe_watts=100.0)
            roster.order(roster[name], [limit], number)
        elif kind == "release":
            roster.release(roster[name], number, now)
        elif kind == "slack":
            roster.give_slack(roster[name], watts)
        elif kind == "plan":
            roster[name].planned_watts = None if watts < 200.0 else {}
        if number % 3 == 0:
            check(roster, now)
    check(roster, now)


def test_a_silent_member_counts_at_its_nameplate_from_when_it_may_have_booted() -> None:
    for began_s in (100.1, 123456.7, 3e6 / 7.0, 1e9 / 3.0):
        roster = Roster(SILENT_AFTER_S)
        roster["a"] = member = Member("a")
        roster.hear(report("a", watts=100.0, age_s=0.1, epoch=EPOCHS[0]), now=began_s, epoch=EPOCHS[0])
        now = nextafter(began_s + REBOOTED_AFTER_S, 0.0)
        for _ in range(6):
            assert roster.watts(now) == pytest.approx(member.watts(now, SILENT_AFTER_S)), now
            now = nextafter(now, inf)


def test_what_is_on_its_way_to_a_silent_member_counts_at_once() -> None:
    roster = Roster(SILENT_AFTER_S)
    roster["a"] = Member("a")
    roster.hear(report("a", watts=100.0, age_s=0.1, epoch=EPOCHS[0]), now=100.0, epoch=EPOCHS[0])
    silent_watts = roster.watts(103.0)
    roster.order(roster["a"], [GpuLimit(uuid="a/0", watts=400.0, safe_watts=100.0)], 1)
    assert roster.watts(103.1) == pytest.approx(silent_watts + 1.05 * (400.0 - 300.0)), silent_watts
