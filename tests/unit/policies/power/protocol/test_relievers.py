"""What a coordinator makes of relief: orders, answers, and what it tells of it."""

import math
from dataclasses import dataclass, field, replace

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.gpu_limits import Raising, RowOrders
from loadline_policies.power.protocol.messages import (
    Act,
    Epoch,
    GpuLimit,
    GpuReport,
    Lease,
    Report,
    ServiceReport,
)
from loadline_policies.power.protocol.relievers import Reliever
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.relief import reliefs
from loadline_policies.power.rows import Cap, Caps
from loadline_policies.power.safety.breakers import Curve

EPOCH = Epoch(transitions=1, lease_uid="lease")
NAMES = [f"node-{i:02}" for i in range(20)]
NODE_WATTS = 1169.25
DOCUMENT = (
    f"schema: {SCHEMA}\nloop: power\npolicy: polca\nsloRelief: %s\n"
    "settings: {threshold1Percent: 85, threshold2Percent: 95, actuationMillis: 500, brakeHoldSeconds: 0}"
)
DOMAIN = Domain(
    name="row",
    budget_watts=len(NAMES) * NODE_WATTS,
    members=frozenset(NAMES),
    document=parse_power(DOCUMENT % "true"),
    enforce=True,
    curve=Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0))),
    services={
        "prod/chat": ServiceTerms(priority=100),
        "prod/search": ServiceTerms(priority=10),
        "prod/code": ServiceTerms(),
    },
)
OWNERS = ("prod/chat", "prod/code", "prod/search", "prod/code")


@dataclass
class Row:
    """A coordinator and its nodes, which report and obey once a second and draw what they are told to."""

    domain: Domain = DOMAIN
    share: float = 0.5
    missed: dict[str, float | None] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    now: float = 100.0
    sequence: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.coordinator = Coordinator(self.domain, EPOCH, now=self.now)

    @property
    def host_watts(self) -> float:
        return min(650.0, self.share * NODE_WATTS)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now, self.sequence = self.now + 1.0, self.sequence + 1
            self.coordinator.renewed(self.now)
            speaking = [name for name in NAMES if name not in self.silent]
            for name in speaking:
                self.coordinator.receive(self.report(name), self.now)
            for name in speaking:
                self.leases[name] = self.coordinator.answer(name, self.now)

    def report(self, node: str) -> Report:
        owner = OWNERS[NAMES.index(node) % len(OWNERS)]
        lease = self.leases.get(node)
        limits: tuple[GpuLimit | None, ...] = (lease.limits or (None, None)) if lease else (None, None)
        gpus = tuple(
            GpuReport(
                uuid=f"{node}/{i}", watts=(self.share * NODE_WATTS - self.host_watts) / 2,
                enforced_watts=limit.watts if limit else 400.0, min_watts=100.0, max_watts=400.0,
                able=True, proven=True, safe_watts=limit.safe_watts if limit else None,
                clock_mhz=limit.clock_mhz if limit else None, owners=(owner,),
            )
            for i, limit in enumerate(limits)
        )  # fmt: skip
        told = (ServiceReport(owner, self.missed[owner]),) if owner in self.missed else ()
        return Report(
            node=node, domain="row", sequence=self.sequence, age_s=0.1,
            host_watts=self.host_watts, host_max_watts=650.0, gpus=gpus, epoch=lease.epoch if lease else None,
            lease_sequence=lease.sequence if lease else 0,
            armed=limits[0] is not None, heat=0.3, services=told,
        )  # fmt: skip

    def clocks(self, service: str) -> set[int | None]:
        return {limit.clock_mhz for limit in self.limits(service)}

    def limits(self, service: str) -> list[GpuLimit]:
        mine = [name for i, name in enumerate(NAMES) if OWNERS[i % len(OWNERS)] == service]
        return [limit for name in mine for limit in self.leases[name].limits]

    @property
    def relieved(self) -> tuple[str, ...]:
        return self.coordinator.domain_state(self.now).relieved


def capped_row(domain: Domain = DOMAIN, **missed: float | None) -> Row:
    """A row at POLCA's High, where the high class has its clock too; `missed` is told from the start."""
    row = Row(domain, missed={f"prod/{name}": one for name, one in missed.items()})
    row.run(3)
    row.share = 0.96
    row.run(3)
    assert row.coordinator.level == "High"
    row.share = 0.91
    return row


def test_a_service_that_misses_under_the_cap_is_let_off_it_and_its_class_isnt() -> None:
    row = capped_row(chat=1.4, search=0.7)
    assert row.clocks("prod/chat") == {1305}
    row.run(3)
    assert row.clocks("prod/chat") >= {None}
    assert row.clocks("prod/search") == {1305}
    assert row.clocks("prod/code") == {1110}
    assert row.relieved == ("prod/chat",)
    assert row.coordinator.level == "High"


def test_it_is_let_off_node_by_node_as_the_room_allows() -> None:
    row = capped_row(chat=1.4)
    row.run(1)
    freed = []
    for _ in range(12):
        row.run(1)
        freed.append(sum(limit.clock_mhz is None for limit in row.limits("prod/chat")))
    rise_watts = 2 * (1.05 * 400.0 - (0.91 * NODE_WATTS - 650.0) / 2)
    assert 2 <= freed[0] <= 2 * ((0.95 - 0.91) * DOMAIN.budget_watts / rise_watts)
    assert freed == sorted(freed)
    assert freed[-1] == 10


def test_low_priority_is_never_let_off() -> None:
    row = capped_row(code=9.0)
    row.run(5)
    assert row.clocks("prod/code") == {1110}
    assert row.relieved == ()


@pytest.mark.parametrize("missed", [None, 1.0], ids=["unknown", "met"])
def test_nor_is_who_isnt_known_to_miss(missed: float | None) -> None:
    row = capped_row(chat=missed)
    row.run(5)
    assert row.relieved == ()


def test_an_older_agent_that_tells_nothing_changes_nothing() -> None:
    row = capped_row()
    row.run(5)
    assert row.clocks("prod/chat") == {1305}


def test_a_document_may_switch_it_off() -> None:
    row = capped_row(replace(DOMAIN, document=parse_power(DOCUMENT % "false")), chat=1.4)
    row.run(5)
    assert row.relieved == ()


def test_a_policy_that_names_no_bound_lets_nobody_off() -> None:
    static = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: static-cap\nsettings: {{highWatts: 300}}")
    row = Row(replace(DOMAIN, document=static), missed={"prod/chat": 9.0})
    row.run(10)
    assert {limit.watts for limit in row.limits("prod/chat")} == {300.0}


def test_a_brake_takes_relief_back_at_once() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    row.share = 1.03
    row.run(1)
    assert row.relieved == ()
    assert row.clocks("prod/chat") == {288}
    assert {limit.watts for limit in row.limits("prod/chat")} == {247.0}


def test_a_brake_that_is_held_on_lets_nobody_off_though_there_is_room() -> None:
    holding = parse_power((DOCUMENT % "true").replace("brakeHoldSeconds: 0", "brakeHoldSeconds: 30"))
    row = capped_row(replace(DOMAIN, document=holding), chat=1.4)
    row.share = 1.03
    row.run(2)
    row.share = 0.7
    row.run(5)
    assert row.coordinator.level == "Brake"
    assert row.relieved == ()


def test_a_hot_breaker_lets_nobody_off_though_there_is_room() -> None:
    row = capped_row(chat=1.4)
    row.coordinator.heat_count.heat = 0.95
    row.run(5)
    assert row.coordinator.level == "BreakerHot"
    assert row.relieved == ()


def test_more_silent_nodes_than_the_row_tolerates_take_relief_back() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    row.silent = set(NAMES[1::2])
    row.run(3)
    assert row.coordinator.level == "TooManySilentNodes"
    assert row.relieved == ()
    row.run(3)
    assert row.coordinator.level == "CannotBeHeld", "ten of twenty that nobody can lower are too many"
    assert row.relieved == ()


def test_above_the_bound_who_was_let_off_must_hear_at_once_and_nobody_else() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    row.share = 0.96
    row.now, row.sequence = row.now + 0.5, row.sequence + 1
    for name in NAMES[:19]:
        row.coordinator.receive(row.report(name), row.now)
    assert row.relieved == ()
    assert row.coordinator.urgent("node-00")
    assert not row.coordinator.urgent("node-02")


def test_a_coordinator_that_cant_renew_takes_relief_back() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    row.coordinator.renewed = lambda sent_s: None  # type: ignore[method-assign]
    row.run(11)
    assert not row.coordinator.over
    assert row.relieved == ()
    assert row.clocks("prod/chat") == {1305}


def test_a_restarted_coordinator_begins_with_nobody_relieved() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    row.coordinator = Coordinator(DOMAIN, Epoch(2, "lease"), now=row.now)
    assert row.relieved == ()
    row.share = 0.96
    row.run(3)
    assert row.relieved == ()


def test_while_somebody_is_let_off_a_rise_past_the_bound_cant_hide() -> None:
    row = capped_row(chat=1.4)
    row.run(12)
    slack = sum(lease.trigger_watts for lease in row.leases.values()) - 0.91 * DOMAIN.budget_watts
    assert slack <= (0.95 - 0.91) * DOMAIN.budget_watts


def test_in_observe_nobody_is_let_off_and_no_bound_of_a_service_holds() -> None:
    services = {**DOMAIN.services, "prod/chat": ServiceTerms(priority=100, max_watts=300.0)}
    row = Row(replace(DOMAIN, enforce=False, services=services), share=0.96, missed={"prod/chat": 9.0})
    row.run(10)
    assert {lease.act for lease in row.leases.values()} == {Act.OBSERVE}
    assert {lease.limits for lease in row.leases.values()} == {()}
    assert row.relieved == ()


BOUNDED = replace(
    DOMAIN, services={**DOMAIN.services, "prod/chat": ServiceTerms(priority=100, max_watts=300.0)}
)


def test_a_services_own_bound_holds_in_a_calm_row_too() -> None:
    row = Row(BOUNDED)
    row.run(4)
    assert row.coordinator.level == "Normal"
    assert {limit.watts for limit in row.limits("prod/chat")} == {300.0}
    assert {limit.watts for limit in row.limits("prod/search")} == {400.0}


def test_a_bound_that_is_taken_away_lets_the_gpus_go() -> None:
    row = Row(BOUNDED)
    row.run(4)
    row.coordinator.configure(DOMAIN, row.now)
    row.run(1)
    assert {limit.watts for limit in row.limits("prod/chat")} == {400.0}


def test_a_bound_below_safe_is_no_reason_to_be_raised_to_safe() -> None:
    low = replace(DOMAIN, services={"prod/chat": ServiceTerms(priority=100, max_watts=150.0)})
    row = Row(low)
    row.run(4)
    row.share = 1.03
    row.run(2)
    assert {(limit.watts, limit.safe_watts) for limit in row.limits("prod/chat")} == {(150.0, 247.0)}


def test_release_counts_what_a_service_bounded_as_a_rise() -> None:
    free, held = Row(DOMAIN, share=0.84), Row(BOUNDED, share=0.84)
    for row in (free, held):
        row.run(4)
        assert row.coordinator.level == "Normal"
        row.coordinator.configure(replace(row.domain, enforce=False), row.now)
        row.run(1)
    assert {lease.act for lease in free.leases.values()} == {Act.RELEASE}
    acts = [held.leases[name].act for i, name in enumerate(NAMES) if OWNERS[i % 4] == "prod/chat"]
    assert Act.ENFORCE in acts


def test_low_priority_is_lowered_between_two_looks_at_the_claims_too() -> None:
    reliever, members = Reliever(reliefs.decide), Roster(2.0)
    shallow, deep = (
        RowOrders(caps=Caps(low=Cap(clock), high=Cap(1305), relief_load=0.95)) for clock in (1275, 1110)
    )
    given = [
        reliever.relieved(
            orders, DOMAIN, members, watts=0.0, raising=lambda: Raising.FREELY, now=now
        ).caps.low
        for orders, now in ((shallow, 0.0), (deep, 0.1))
    ]
    assert given == [Cap(1275), Cap(1110)]
