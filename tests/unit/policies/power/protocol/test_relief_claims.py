"""Who may ask to be let off a cap: high priority, capped now, on a node that obeys."""

from dataclasses import replace

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report, ServiceReport
from loadline_policies.power.protocol.relief_claims import claims_of
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.rows import Cap

EPOCH = Epoch(1, "lease")
CLOCK, WATTS = Cap(clock_mhz=1305), Cap(watts=300.0)
DOMAIN = Domain(
    name="row",
    budget_watts=20_000.0,
    members=frozenset({"node-0", "node-1", "node-2"}),
    document=parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca"),
    enforce=True,
    services={"default/chat": ServiceTerms(priority=100), "default/code": ServiceTerms()},
)


def gpu(
    uuid: str, *owners: str, watts: float = 250.0, clock: int | None = 1305, limit: float = 400.0
) -> GpuReport:
    return GpuReport(
        uuid=uuid, watts=watts, enforced_watts=limit, min_watts=100.0, max_watts=400.0,
        able=True, proven=True, safe_watts=200.0, clock_mhz=clock,
        owners=tuple(f"default/{owner}" for owner in owners),
    )  # fmt: skip


def report(*gpus: GpuReport, node: str = "node-0", armed: bool = True, **missed: float | None) -> Report:
    return Report(
        node=node, domain="row", sequence=1, age_s=0.1, host_watts=500.0, host_max_watts=500.0,
        gpus=gpus, epoch=EPOCH, armed=armed,
        services=tuple(ServiceReport(f"default/{name}", one) for name, one in missed.items()),
    )  # fmt: skip


def claims(
    *reports: Report, cap: Cap = CLOCK, domain: Domain = DOMAIN, now: float = 0.0
) -> tuple[Claim, ...]:
    roster = Roster(2.0)
    roster.enlist(replace(domain, members=domain.members | {one.node for one in reports}))
    for one in reports:
        roster[one.node].hear(one, now=0.0, epoch=EPOCH)
    return claims_of(roster, domain, cap, now=now)


def test_a_claim_is_one_services_gpus_on_one_node() -> None:
    given = claims(
        report(gpu("a", "chat"), gpu("b", "chat"), gpu("c", "code"), chat=1.5),
        report(gpu("d", "chat"), node="node-1", chat=1.2),
    )
    assert [(one.node, one.gpus, one.missed) for one in given] == [
        ("node-0", ("a", "b"), 1.5),
        ("node-1", ("d",), 1.2),
    ]


def test_low_priority_has_no_claim() -> None:
    assert claims(report(gpu("a", "code"), code=9.0)) == ()


def test_nor_has_a_service_that_nobody_has_declared() -> None:
    assert claims(report(gpu("a", "ghost"), ghost=9.0)) == ()


def test_nor_one_of_which_nothing_is_told() -> None:
    assert claims(report(gpu("a", "chat"))) == ()


@pytest.mark.parametrize("missed", [None, 0.8, 1.0, -3.0])
def test_unknown_met_or_nonsense_asks_for_nothing(missed: float | None) -> None:
    assert not any(one.asks for one in claims(report(gpu("a", "chat"), chat=missed)))


def test_a_node_that_doesnt_know_goes_by_the_worst_that_is_known() -> None:
    given = claims(
        report(gpu("a", "chat"), node="node-0", chat=None),
        report(gpu("b", "chat"), node="node-1", chat=1.3),
        report(gpu("c", "chat"), node="node-2", chat=0.5),
    )
    assert [one.missed for one in given] == [1.3, 1.3, 0.5]


def test_a_service_told_twice_counts_at_its_worst() -> None:
    twice = report(gpu("a", "chat"), chat=1.5)
    twice = replace(twice, services=(*twice.services, ServiceReport("default/chat", 0.1)))
    assert claims(twice)[0].missed == 1.5


@pytest.mark.parametrize(
    ("given", "cap", "capped"),
    [
        pytest.param(gpu("a", "chat", clock=1305), CLOCK, True, id="clock-in-force"),
        pytest.param(gpu("a", "chat", clock=288), CLOCK, True, id="deeper-clock-still-in-force"),
        pytest.param(gpu("a", "chat", clock=1410), CLOCK, True, id="nearest-clock-of-the-gpu-in-force"),
        pytest.param(gpu("a", "chat", clock=None), CLOCK, False, id="not-locked-yet"),
        pytest.param(gpu("a", "chat", limit=300.0), WATTS, True, id="watts-in-force"),
        pytest.param(gpu("a", "chat", limit=400.0), WATTS, False, id="watts-not-in-force-yet"),
        pytest.param(gpu("a", "chat", limit=100.0), Cap(watts=50.0), True, id="watts-below-what-can-be-set"),
        pytest.param(gpu("a", "chat", limit=400.0), Cap(watts=400.0), False, id="watts-hold-nobody"),
    ],
)
def test_only_a_cap_that_is_in_force_counts(given: GpuReport, cap: Cap, capped: bool) -> None:
    assert claims(report(given, chat=1.5), cap=cap)[0].capped is capped


def test_a_cap_above_the_services_own_bound_is_no_reason() -> None:
    own = replace(DOMAIN, services={"default/chat": ServiceTerms(priority=100, max_watts=250.0)})
    given = claims(report(gpu("a", "chat", limit=250.0, clock=None), chat=1.5), cap=WATTS, domain=own)
    assert not given[0].capped


def test_a_rise_counts_with_the_sensors_gain() -> None:
    assert claims(report(gpu("a", "chat", watts=250.0), chat=1.5))[0].rise_watts == pytest.approx(170.0)


def test_a_rise_ends_at_the_services_own_bound_once_that_is_in_force() -> None:
    own = replace(DOMAIN, services={"default/chat": ServiceTerms(priority=100, max_watts=300.0)})
    held = claims(report(gpu("a", "chat", limit=300.0), chat=1.5), domain=own)
    not_yet = claims(report(gpu("a", "chat", limit=400.0), chat=1.5), domain=own)
    assert (held[0].rise_watts, not_yet[0].rise_watts) == pytest.approx((65.0, 170.0))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(report(gpu("a", "chat"), armed=False, chat=1.5), id="unarmed"),
        pytest.param(replace(report(gpu("a", "chat"), chat=1.5), faults=("Conflict",)), id="faulty"),
        pytest.param(report(gpu("a", "chat"), node="node-9", chat=1.5), id="leaving"),
    ],
)
def test_a_node_that_doesnt_obey_has_no_claims(given: Report) -> None:
    assert claims(given) == ()


def test_nor_has_one_that_is_silent() -> None:
    assert claims(report(gpu("a", "chat"), chat=1.5), now=2.5) == ()
