"""What a lease asks for: who is armed, who stays so, and who is let go."""

from dataclasses import replace

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.lease_acts import act_of
from loadline_policies.power.protocol.members import Member
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Report

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
