"""What a lease asks for: who is armed, who stays so, and who is let go."""

from dataclasses import replace

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import UNTOLD
from loadline_policies.power.protocol.lease_acts import act_of, has_headroom, lacking_watts
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Report
from loadline_policies.power.protocol.rosters import Roster

POLCA = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\nsettings: {{}}")
DOMAIN = Domain(name="row", budget_watts=4000.0, members=frozenset({"node"}), document=POLCA, enforce=True)
SOUND = Report(
    node="node", domain="row", sequence=1, age_s=0.0, host_watts=0.0, host_max_watts=0.0,
    gpus=(GpuReport(uuid="gpu", watts=200.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0),),
)  # fmt: skip
ARMED, FAULTY, UNSETTABLE = {"armed": True}, {"faults": ("OtherWriter",)}, {"settable": False}


@pytest.mark.parametrize(
    ("told", "domain", "admitted", "act"),
    [
        ({}, {}, True, Act.ENFORCE),
        ({}, {}, False, Act.OBSERVE),
        (FAULTY, {}, True, Act.OBSERVE),
        (UNSETTABLE, {}, True, Act.OBSERVE),
        (ARMED, {}, False, Act.ENFORCE),
        ({**ARMED, **FAULTY}, {}, True, Act.ENFORCE),
        ({**ARMED, **UNSETTABLE}, {}, True, Act.ENFORCE),
        ({}, {"enforce": False}, True, Act.OBSERVE),
        (ARMED, {"enforce": False}, True, Act.RELEASE),
        (ARMED, {"members": frozenset({"other"})}, True, Act.RELEASE),
        ({}, {"members": frozenset({"other"})}, True, Act.OBSERVE),
    ],
)
def test_what_a_lease_asks_for(
    told: dict[str, object], domain: dict[str, object], admitted: bool, act: Act
) -> None:
    member = Member("node")
    member.hear(replace(SOUND, **told), now=0.0, epoch=Epoch(1, "uid"))  # type: ignore[arg-type]
    declared = replace(DOMAIN, **domain)  # type: ignore[arg-type]
    assert act_of(member, declared, admitted=admitted, releasable=lambda: True) is act


def test_who_may_not_be_let_go_yet_is_enforced_further() -> None:
    member = Member("node")
    member.hear(replace(SOUND, armed=True), now=0.0, epoch=Epoch(1, "uid"))
    declared = replace(DOMAIN, enforce=False)
    assert act_of(member, declared, admitted=True, releasable=lambda: False) is Act.ENFORCE


def gpu(uuid: str, **told: object) -> GpuReport:
    return replace(SOUND.gpus[0], **{"uuid": uuid, "able": True, "proven": True, **told})  # type: ignore[arg-type]


def row(*, watts: float = 200.0, heard_s: float = 0.0, able: bool = True) -> Roster:
    """A node held at 300 W, which is to be let go, and one other, of which so much is known."""
    members = Roster(silent_after_s=2.0)
    for name, at_s, one in (
        ("node", 0.0, gpu("gpu", enforced_watts=300.0)),
        ("other", heard_s, gpu("gpu-1", watts=watts, enforced_watts=390.0, able=able)),
    ):
        members[name] = Member(name)
        told = replace(SOUND, node=name, armed=True, gpus=(one,))
        members[name].hear(told, now=at_s, epoch=Epoch(1, "uid"))
    return members


def needed_watts(members: Roster) -> float:
    """The budget under which `node` may just be let go."""
    waiting = [members["node"]]
    return (lacking_watts(waiting, members, DOMAIN, now=0.0) + 0.95 * DOMAIN.budget_watts) / 0.95


@pytest.mark.parametrize(
    ("members", "other_watts"),
    [
        (row(), 200.0),
        (row(able=False), 390.0),
        (row(watts=395.0, able=False), 395.0),
        (row(heard_s=-3.0), 1.05 * 390.0),
        (row(heard_s=-3.0, able=False), 1.05 * 390.0),
        (row(heard_s=-40.0), 1.05 * 400.0),
    ],
    ids=["heard", "unable", "unable, above it", "silent", "silent and unable", "maybe booted anew"],
)
def test_a_release_counts_the_others_at_what_they_may_draw_and_waits_for_no_proof(
    members: Roster, other_watts: float
) -> None:
    needed = (1.05 * 400.0 + other_watts) / 0.95
    assert needed_watts(members) == pytest.approx(needed)
    for budget_watts, so in ((needed + 1.0, True), (needed - 1.0, False)):
        domain = replace(DOMAIN, budget_watts=budget_watts)
        assert has_headroom(members["node"], members, domain, orders=UNTOLD, now=0.0) is so


def test_who_was_let_go_just_before_counts_at_all_that_it_can_draw() -> None:
    members = row()
    members["other"].release(7, -1.0)
    assert needed_watts(members) == pytest.approx(2 * 1.05 * 400.0 / 0.95)
