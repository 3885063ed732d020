"""Who waits to be released, for what, and from when on people are told."""

from dataclasses import replace

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domain_states import ReleaseWait
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report
from loadline_policies.power.protocol.release_waits import WAITS_AFTER_S, ReleaseWaits
from loadline_policies.power.protocol.rosters import Roster

POLCA = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\nsettings: {{}}")
NAMES = ("a", "b", "c")
DOMAIN = Domain(name="row", budget_watts=1000.0, members=frozenset(NAMES), document=POLCA, enforce=False)


def told(name: str, *, armed: bool, now: float) -> Report:
    gpu = GpuReport(
        uuid=name, watts=300.0, enforced_watts=300.0, min_watts=100.0, max_watts=400.0, able=True, proven=True
    )
    return Report(
        node=name, domain="row", sequence=int(now), age_s=0.0, host_watts=0.0, host_max_watts=0.0,
        gpus=(gpu,), armed=armed,
    )  # fmt: skip


class Row:
    """Three nodes that report, and what is followed of them."""

    def __init__(self, domain: Domain = DOMAIN) -> None:
        self.domain, self.members, self.waits = domain, Roster(silent_after_s=2.0), ReleaseWaits()

    def at(self, now: float, armed: tuple[str, ...] = NAMES) -> ReleaseWait | None:
        for name in NAMES:
            member = self.members.setdefault(name, Member(name))
            member.hear(told(name, armed=name in armed, now=now), now=now, epoch=Epoch(1, "uid"))
        self.waits.look(self.members, self.domain, now)
        return self.waits.state(self.members, self.domain, now)


def is_long(wait: ReleaseWait | None) -> bool:
    assert wait is not None
    return wait.long


def test_who_waits_is_told_with_the_watts_that_the_next_one_lacks() -> None:
    wait = Row().at(0.0, armed=("b", "a"))
    assert wait is not None
    assert wait.nodes == ("a", "b")
    assert wait.lacking_watts == pytest.approx(600.0 + 1.05 * 400.0 - 950.0)


def test_one_that_lacks_nothing_says_so() -> None:
    wait = Row(replace(DOMAIN, budget_watts=2000.0)).at(0.0)
    assert wait is not None
    assert wait.lacking_watts == 0.0


def test_after_ten_minutes_in_which_nobody_was_let_go_it_is_long() -> None:
    row = Row()
    assert not is_long(row.at(0.0))
    assert not is_long(row.at(WAITS_AFTER_S - 1.0))
    assert is_long(row.at(WAITS_AFTER_S))


def test_each_one_that_is_let_go_begins_the_time_anew() -> None:
    row = Row()
    row.at(0.0)
    assert not is_long(row.at(WAITS_AFTER_S, armed=("a", "b")))
    assert is_long(row.at(2 * WAITS_AFTER_S, armed=("a", "b")))


def test_nobody_waits_whose_domain_is_to_hold_it() -> None:
    assert Row(replace(DOMAIN, enforce=True)).at(0.0) is None
    leaving = replace(DOMAIN, enforce=True, members=frozenset({"a", "b"}), leaving=frozenset({"c"}))
    wait = Row(leaving).at(0.0)
    assert wait is not None
    assert wait.nodes == ("c",)


def test_time_in_which_nobody_waited_does_not_count() -> None:
    row = Row()
    row.at(0.0, armed=())
    assert not is_long(row.at(WAITS_AFTER_S))
