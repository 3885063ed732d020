"""What a coordinator promises: silent nodes at their worst, nobody raised in doubt, safe when it is hot."""

import math
from dataclasses import replace

import pytest

from loadline_policies.decisions import Decision
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domains import Domain, ServiceTerms
from loadline_policies.power.protocol.gpu_limits import Raising
from loadline_policies.power.protocol.members import rating_of
from loadline_policies.power.protocol.messages import Act, Epoch, GpuReport, Lease, Report
from loadline_policies.power.rows import Caps
from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating, Timings

EPOCH = Epoch(transitions=1, lease_uid="lease")
POLCA = parse_power(
    f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
    "settings: {threshold1Percent: 90, threshold2Percent: 95, actuationMillis: 500, brakeHoldSeconds: 0}"
)
FREE = replace(
    POLCA,
    policy=replace(POLCA.policy, decide=lambda row, state, config, now: Decision(Caps(next_load=2.0), state)),
)
NAMES = [f"node-{i}" for i in range(20)]
NODE_WATTS = 1169.25
DOMAIN = Domain(
    name="row",
    budget_watts=len(NAMES) * NODE_WATTS,
    members=frozenset(NAMES),
    document=POLCA,
    enforce=True,
    curve=Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0))),
    services={"default/chat": ServiceTerms(priority=100), "default/code": ServiceTerms()},
)


def report(
    node: str,
    *,
    share: float = 0.5,
    sequence: int = 1,
    lease: Lease | None = None,
    enforced: float = 400.0,
    safe: float | None = None,
    heat: float | None = None,
    heat_age_s: float = 0.0,
    epoch: Epoch | None = None,
    faults: tuple[str, ...] = (),
    policy_level: str | None = None,
) -> Report:
    """A node that draws `share` of its part of the budget."""
    host_watts = min(650.0, share * NODE_WATTS)
    watts = (share * NODE_WATTS - host_watts) / 2
    gpus = tuple(
        GpuReport(
            uuid=f"{node}/{i}", watts=watts, enforced_watts=enforced, min_watts=100.0, max_watts=400.0,
            able=True, proven=True, safe_watts=safe,
            owners=("default/chat" if int(node[5:]) % 2 else "default/code",),
        )
        for i in range(2)
    )  # fmt: skip
    return Report(
        node=node, domain="row", sequence=sequence, age_s=0.1, host_watts=host_watts, host_max_watts=650.0,
        gpus=gpus, epoch=lease.epoch if lease else epoch, lease_sequence=lease.sequence if lease else 0,
        armed=safe is not None, heat=heat, heat_age_s=heat_age_s, faults=faults,
        policy_level=policy_level,
    )  # fmt: skip


def led(
    share: float = 0.5, *, domain: Domain = DOMAIN, heat: float = 0.3
) -> tuple[Coordinator, dict[str, Lease]]:
    """A coordinator whose nodes are all armed and have acknowledged its epoch, at 100 s."""
    coordinator = Coordinator(domain, EPOCH, now=99.0)
    for name in NAMES:
        coordinator.receive(report(name, share=share, heat=heat), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    return coordinator, heard(coordinator, given, share=share, sequence=2, now=100.0)


def led_before_the_last_joins() -> tuple[Coordinator, dict[str, Lease]]:
    """A coordinator of all but `node-19`, which are armed and have acknowledged its epoch, at 100 s."""
    coordinator = Coordinator(replace(DOMAIN, members=frozenset(NAMES[:19])), EPOCH, now=99.0)
    for name in NAMES[:19]:
        coordinator.receive(report(name, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES[:19]}
    return coordinator, heard(coordinator, given, share=0.5, sequence=2, now=100.0, names=NAMES[:19])


def heard(
    coordinator: Coordinator,
    given: dict[str, Lease],
    *,
    share: float,
    sequence: int,
    now: float,
    names: list[str] = NAMES,
) -> dict[str, Lease]:
    """All these nodes report under the leases given, and get new ones."""
    coordinator.renewed(now)
    for name in names:
        lease = given[name]
        safe = lease.limits[0].safe_watts if lease.limits else None
        enforced = lease.limits[0].watts if lease.limits else 400.0
        coordinator.receive(
            report(name, share=share, sequence=sequence, lease=lease, enforced=enforced, safe=safe), now
        )
    return {**given, **{name: coordinator.answer(name, now) for name in names}}


def watts(lease: Lease) -> float:
    return lease.limits[0].watts


def test_a_row_below_its_thresholds_is_enforced_and_uncapped() -> None:
    coordinator, given = led()
    assert {lease.act for lease in given.values()} == {Act.ENFORCE}
    assert {watts(lease) for lease in given.values()} == {400.0}
    assert coordinator.domain_state(100.0).agreed


def test_low_priority_gets_its_clock_first() -> None:
    _, given = led(share=0.92)
    assert given["node-0"].limits[0].clock_mhz == 1275
    assert given["node-1"].limits[0].clock_mhz is None


def test_above_the_budget_every_gpu_is_at_its_safe_limit() -> None:
    _, given = led(share=1.02)
    assert all(watts(lease) == lease.limits[0].safe_watts == 247.0 for lease in given.values())


def test_an_edit_of_settings_frees_nobody() -> None:
    held_for_a_minute = parse_power(
        f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
        "settings: {threshold1Percent: 90, threshold2Percent: 95, actuationMillis: 500, brakeHoldSeconds: 60}"
    )
    braked = replace(DOMAIN, document=held_for_a_minute)
    coordinator, given = led(share=1.02, domain=braked)
    given = heard(coordinator, given, share=0.85, sequence=3, now=101.0)
    assert {watts(lease) for lease in given.values()} == {247.0}
    edited = replace(held_for_a_minute, hash="edited")
    coordinator.configure(replace(braked, document=edited), 101.5)
    given = heard(coordinator, given, share=0.85, sequence=4, now=102.0)
    assert {watts(lease) for lease in given.values()} == {247.0}


def test_a_successor_frees_no_braked_row_before_its_time() -> None:
    """Live, before: 1.218 of the budget for 0.2 to 0.4 s after every change of the leader."""
    document = parse_power(
        f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
        "settings: {threshold1Percent: 90, threshold2Percent: 95, actuationMillis: 500, brakeHoldSeconds: 60}"
    )
    _, before = led(share=1.02, domain=replace(DOMAIN, document=document))
    successor = Coordinator(replace(DOMAIN, document=document), Epoch(2, "lease"), now=101.0)
    given: dict[str, Lease] = {}
    for name, lease in before.items():
        told = report(
            name, share=0.85, sequence=3, lease=lease, enforced=247.0, safe=247.0, heat=0.3,
            policy_level=lease.policy_level,
        )  # fmt: skip
        successor.receive(told, 101.1)
        given[name] = successor.answer(name, 101.1)
    for sequence in range(4, 60):
        given = heard(successor, given, share=0.85, sequence=sequence, now=98.0 + sequence)
        assert {watts(lease) for lease in given.values()} == {247.0}
        assert {lease.policy_level for lease in given.values()} == {"Brake"}
    assert successor.raising(157.0) is Raising.FREELY, "nothing but the policy holds it"


def test_the_next_coordinator_is_told_the_policys_level_also_while_the_row_is_held() -> None:
    _, given = led(share=0.92, heat=0.9)
    assert {(lease.level, lease.policy_level) for lease in given.values()} == {("BreakerHot", "LowShallow")}


def test_whoever_would_get_less_must_hear_at_once() -> None:
    coordinator, given = led()
    heard(coordinator, given, share=1.02, sequence=3, now=101.0, names=NAMES[:19])
    assert coordinator.urgent("node-19")


def test_slack_that_could_hide_a_crossing_is_taken_back_at_once() -> None:
    coordinator, given = led(share=0.5)
    assert not coordinator.urgent("node-19")
    for name in NAMES[:19]:
        coordinator.receive(report(name, share=0.86, sequence=3, lease=given[name], safe=247.0), 100.8)
    assert coordinator.urgent("node-19")
    for name in NAMES:
        coordinator.answer(name, 100.8)
    assert not any(coordinator.urgent(name) for name in NAMES)


def test_slack_that_could_hide_a_crossing_stirs_those_who_wait_until_it_is_taken_back() -> None:
    coordinator, given = led(share=0.5)
    coordinator.stirred()
    assert not coordinator.stirred()
    for name in NAMES[:19]:
        coordinator.receive(report(name, share=0.86, sequence=3, lease=given[name], safe=247.0), 100.8)
    assert [coordinator.stirred(), coordinator.stirred()] == [True, True]
    for name in NAMES:
        coordinator.answer(name, 100.8)
    assert not coordinator.stirred()


def test_an_orphan_is_raised_by_nobody_who_takes_it_over() -> None:
    coordinator, given = led(share=0.5)
    held = report("node-0", sequence=3, lease=given["node-0"], enforced=230.0, safe=247.0)
    coordinator.receive(replace(held, armed_for="gone"), 100.8)
    assert watts(coordinator.answer("node-0", 100.8)) == 230.0
    coordinator.receive(replace(held, sequence=4), 101.0)
    assert watts(coordinator.answer("node-0", 101.0)) == 400.0


def test_all_slack_together_is_within_the_headroom() -> None:
    coordinator, given = led(share=0.7)
    slack = sum(lease.trigger_watts for lease in given.values()) - coordinator.domain_state(100.0).watts
    assert 0 < slack <= (0.9 - 0.7) * DOMAIN.budget_watts


def test_a_silent_node_counts_at_its_last_enforced_limit() -> None:
    coordinator, given = led(share=0.5)
    heard(coordinator, given, share=0.5, sequence=3, now=103.0, names=NAMES[1:])
    assert coordinator.members.silent(103.0) == ("node-0",)
    assert coordinator.domain_state(103.0).watts == pytest.approx(
        19 * 0.5 * NODE_WATTS + 650.0 + 2 * 1.05 * 400.0
    )


def test_a_node_that_may_have_booted_anew_counts_at_its_maximum() -> None:
    coordinator, given = led(share=1.02)
    given = heard(coordinator, given, share=0.9, sequence=3, now=101.0)
    for now in (110.0, 120.0, 130.0, 140.0):
        given = heard(coordinator, given, share=0.5, sequence=int(now), now=now, names=NAMES[1:])
        silent_watts = coordinator.domain_state(now).watts - 19 * 0.5 * NODE_WATTS
        held = 650.0 + 1.05 * 2 * 247.0
        assert silent_watts == pytest.approx(held if now <= 131.0 else report("node-0").nameplate_watts)


def test_a_raise_on_its_way_counts_until_it_is_acknowledged() -> None:
    coordinator, given = led(share=1.02)
    given = heard(coordinator, given, share=0.5, sequence=3, now=101.0)
    for sequence in range(4, 8):
        given = heard(coordinator, given, share=0.5, sequence=sequence, now=97.0 + sequence)
    late = replace(given["node-0"], sequence=1)
    coordinator.receive(report("node-0", sequence=9, lease=late, enforced=247.0, safe=247.0), 104.5)
    heard(coordinator, given, share=0.5, sequence=9, now=107.0, names=NAMES[1:])
    assert coordinator.domain_state(107.0).watts == pytest.approx(
        19 * 0.5 * NODE_WATTS + 650.0 + 2 * 1.05 * 400.0
    )


def test_more_silent_nodes_than_tolerated_hold_the_row_at_safe() -> None:
    coordinator, given = led(share=0.5)
    tolerated = coordinator.domain_state(100.0).safety
    assert tolerated is not None
    speaking = NAMES[tolerated.tolerates_silent_nodes + 1 :]
    given = heard(coordinator, given, share=0.3, sequence=3, now=103.0, names=speaking)
    assert {watts(given[name]) for name in speaking} == {247.0}
    assert coordinator.level == "TooManySilentNodes"


def test_a_hot_breaker_holds_the_row_at_safe_until_it_has_cooled() -> None:
    coordinator, given = led(share=0.5, heat=0.95)
    assert coordinator.level == "BreakerHot"
    assert {watts(lease) for lease in given.values()} == {247.0}
    for now in range(102, 302, 2):
        given = heard(coordinator, given, share=0.5, sequence=now, now=float(now))
    assert {watts(lease) for lease in given.values()} == {400.0}


def test_a_new_coordinator_is_warm_until_it_hears_of_more() -> None:
    assert Coordinator(DOMAIN, EPOCH, now=0.0).heat == WARM
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    coordinator.receive(report("node-0", heat=0.2), 0.0)
    coordinator.receive(report("node-1", heat=0.7), 0.0)
    coordinator.receive(report("node-2", heat=0.1), 0.0)
    assert coordinator.heat == pytest.approx(0.7)


def test_what_the_row_could_draw_while_nobody_led_counts_until_its_leases_were_over() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=0.3, heat_age_s=16.0), 0.0)
    row = sum(report(name).nameplate_watts for name in NAMES) / DOMAIN.budget_watts
    free_s = DOMAIN.timings.lease_s + DOMAIN.timings.actuation_s
    assert coordinator.heat == pytest.approx(0.3 + free_s / DOMAIN.curve.trip_s(row), rel=0.05)


def test_a_node_whose_lease_ran_out_tells_nothing_new_of_the_heat() -> None:
    """It has the heat from here; a node that was away for 5 s of 45 made the row hot within minutes."""
    coordinator, given = led()
    before = coordinator.heat
    for second in range(1, 6):
        now = 100.0 + second
        given = heard(coordinator, given, share=0.5, sequence=2 + second, now=now, names=NAMES[1:])
    late = report("node-0", sequence=3, safe=247.0, heat=before, heat_age_s=5.0)
    coordinator.receive(late, 105.1)
    assert coordinator.heat <= before
    coordinator.receive(replace(late, sequence=4, epoch=Epoch(0, "lease"), heat_age_s=2.0), 105.2)
    assert coordinator.heat > before, "under another's epoch, another has counted"


def test_heat_of_which_the_age_is_not_told_is_a_lease_old() -> None:
    told = Coordinator(DOMAIN, EPOCH, now=0.0)
    untold = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        one = report(name, enforced=247.0, safe=247.0, heat=0.3, heat_age_s=DOMAIN.timings.lease_s)
        told.receive(one, 0.0)
        untold.receive(replace(one, heat_age_s=None), 0.0)
    assert untold.heat == told.heat > 0.3


def test_a_member_that_was_away_for_long_makes_nobody_hot() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    coordinator.receive(report("node-0", safe=247.0, heat=0.9, heat_age_s=600.0), 0.0)
    coordinator.receive(report("node-1", safe=247.0, heat=0.2, heat_age_s=1.0), 0.0)
    coordinator.receive(report("node-2", safe=247.0, heat=0.2, heat_age_s=1.0), 0.5)
    assert coordinator.heat < 0.3


def test_a_row_that_cannot_be_judged_yet_counts_its_own_heat_all_the_same() -> None:
    """While a member is unknown there are no safe limits; each late tale took the place of the count here."""
    domain = replace(DOMAIN, members=DOMAIN.members | {"node-unknown"})
    coordinator = Coordinator(domain, EPOCH, now=0.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=0.9), 0.1)
    coordinator.decide(5.0)
    assert coordinator.safety is None
    for name, now in zip(NAMES, (5.0, 5.5, 6.0), strict=False):
        coordinator.receive(report(name, sequence=2, safe=247.0, heat=0.1, epoch=Epoch(0, "lease")), now)
    assert coordinator.heat > 0.8


@pytest.mark.parametrize("lie", [-1000.0, 0.0, 1.0, 1e300])
def test_of_the_breakers_heat_one_member_may_lie(lie: float) -> None:
    """It did once, as the only one that still told: 0.96 became 0, and the breaker tripped."""
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        told = 0.6 if name != "node-0" else lie
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=told, heat_age_s=1.0), 0.0)
    given = {name: coordinator.answer(name, 0.1) for name in NAMES}
    for second in range(1, 8):
        given = heard(coordinator, given, share=0.5, sequence=3 * second, now=float(second), names=NAMES[1:])
        liar = report("node-0", sequence=3 * second, safe=247.0, heat=min(lie, 0.0))
        coordinator.receive(liar, second + 0.1)
        assert coordinator.heat == pytest.approx(0.6, abs=0.05)


def test_an_armed_row_of_which_nobody_tells_the_heat_may_be_as_hot_as_it_gets() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=247.0, safe=247.0), 0.1)
    assert coordinator.safety is not None
    assert coordinator.heat == pytest.approx(coordinator.safety.ceiling_heat, rel=0.01)


@pytest.mark.parametrize(("told", "kept"), [(1e300, 1.0), (-1000.0, 0.0)])
def test_heat_is_kept_between_cold_and_tripped_whatever_is_told(told: float, kept: float) -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    coordinator.receive(report("node-0", heat=told), 0.0)
    assert coordinator.heat == pytest.approx(kept, abs=0.01)


def test_a_budget_that_was_far_too_small_leaves_no_more_heat_than_a_trip() -> None:
    coordinator, given = led(domain=replace(DOMAIN, enforce=False))
    coordinator.configure(replace(DOMAIN, enforce=False, budget_watts=2000.0), 100.0)
    for second in range(60):
        given = heard(coordinator, given, share=0.9, sequence=3 + second, now=101.0 + second)
    assert coordinator.heat == 1.0


def test_a_new_coordinator_raises_nobody_above_safe_before_all_know_its_epoch() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=200.0, safe=247.0, heat=0.3), 0.0)
    assert watts(coordinator.answer("node-0", 0.1)) == 247.0


def test_it_raises_without_the_last_one_once_no_old_lease_can_be_alive() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=0.3), 0.0)
    given = {name: coordinator.answer(name, 0.0) for name in NAMES}
    for second in range(1, 9):
        given = heard(coordinator, given, share=0.5, sequence=1 + second, now=float(second), names=NAMES[:19])
        assert watts(given["node-0"]) == (247.0 if second < 8 else 400.0)


def test_stale_at_the_api_server_it_raises_nobody_and_goes_on_while_all_report() -> None:
    coordinator, given = led(share=1.02)
    for sequence in range(3, 14):
        for name in NAMES:
            lease = given[name]
            coordinator.receive(
                report(name, share=0.5, sequence=sequence, lease=lease, enforced=247.0, safe=247.0),
                98.0 + sequence,
            )
            given[name] = coordinator.answer(name, 98.0 + sequence)
    assert {watts(lease) for lease in given.values()} == {247.0}
    assert not coordinator.over


def test_stale_at_the_api_server_the_first_missing_member_ends_it() -> None:
    coordinator, given = led()
    for sequence in range(3, 14):
        for name in NAMES[1:]:
            coordinator.receive(
                report(name, sequence=sequence, lease=given[name], safe=247.0), 98.0 + sequence
            )
    assert coordinator.over


def claim(coordinator: Coordinator, node: str, now: float, *, sequence: int = 3) -> None:
    coordinator.receive(report(node, sequence=sequence, safe=247.0, epoch=Epoch(2, "lease")), now)


def test_a_higher_epoch_of_which_two_members_tell_ends_it() -> None:
    coordinator, _ = led()
    claim(coordinator, "node-0", 101.0)
    assert not coordinator.over
    claim(coordinator, "node-0", 101.1, sequence=4)
    assert not coordinator.over, "one that says it twice is still one"
    claim(coordinator, "node-1", 101.2)
    assert coordinator.over


def test_while_one_member_tells_of_a_higher_epoch_nobody_is_raised() -> None:
    coordinator, _ = led(share=1.02)
    claim(coordinator, "node-0", 100.5)
    assert coordinator.raising(103.0) == Raising.NOT
    coordinator.renewed(100.4)
    assert coordinator.raising(103.0) == Raising.NOT, "the renewal was sent before it was told"
    coordinator.renewed(103.0)
    assert coordinator.raising(103.1) != Raising.NOT
    assert not coordinator.over


def test_a_higher_epoch_that_a_renewal_refutes_is_no_claim_any_more() -> None:
    """One hostile member ended each coordinator in turn."""
    coordinator, _ = led()
    later = report("node-0", sequence=4, safe=247.0, epoch=Epoch(2**31 - 1, "lease"))
    claim(coordinator, "node-0", 101.0)
    assert not coordinator.refutes(later)
    coordinator.renewed(102.0)
    assert coordinator.refutes(later)
    assert not coordinator.refutes(report("node-0", sequence=4, safe=247.0, epoch=EPOCH))
    coordinator.receive(later, 102.5)
    claim(coordinator, "node-1", 103.0)
    assert not coordinator.over


def test_an_overtaken_report_changes_nothing() -> None:
    coordinator, _ = led()
    before = coordinator.domain_state(100.0).watts
    coordinator.receive(report("node-0", share=3.0, sequence=1, safe=247.0), 100.0)
    assert coordinator.domain_state(100.0).watts == before


def test_a_node_with_a_fault_is_not_enforced() -> None:
    coordinator, _ = led()
    coordinator.receive(report("node-0", sequence=3, faults=("Conflict",)), 101.0)
    assert coordinator.answer("node-0", 101.0).act is Act.OBSERVE


def test_an_armed_node_with_a_fault_stays_armed() -> None:
    coordinator, given = led()
    faulty = report("node-0", sequence=3, lease=given["node-0"], safe=247.0, faults=("OtherWriter",))
    coordinator.receive(faulty, 101.0)
    assert coordinator.answer("node-0", 101.0).act is Act.ENFORCE


def test_a_node_that_may_not_be_armed_counts_at_its_maximum() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=99.0)
    for name in NAMES:
        faults = ("OtherWriter",) if name == "node-0" else ()
        coordinator.receive(report(name, heat=0.3, faults=faults), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    assert given["node-0"].act is Act.OBSERVE
    nameplate = report("node-0").nameplate_watts
    fallen = sum(650.0 + 1.05 * sum(limit.safe_watts for limit in given[name].limits) for name in NAMES[1:])
    assert nameplate + fallen <= DOMAIN.budget_watts


def test_a_member_without_gpus_counts_with_its_host_and_holds_nobody_up() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=99.0)
    for name in NAMES:
        bare = replace(report(name, heat=0.3), gpus=(), host_watts=650.0)
        coordinator.receive(bare if name == "node-0" else report(name, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    assert {lease.act for lease in given.values()} == {Act.ENFORCE}
    assert given["node-0"].limits == ()
    fallen = sum(650.0 + 1.05 * sum(limit.safe_watts for limit in given[name].limits) for name in NAMES)
    assert fallen <= DOMAIN.budget_watts
    assert given["node-1"].limits[0].safe_watts > led()[1]["node-1"].limits[0].safe_watts


def test_one_gpu_without_a_range_is_counted_at_its_most_and_the_others_give_for_it() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=99.0)
    odd = report("node-0", heat=0.3)
    gpus = (replace(odd.gpus[0], min_watts=400.0, able=False, proven=False), odd.gpus[1])
    for name in NAMES:
        coordinator.receive(replace(odd, gpus=gpus) if name == "node-0" else report(name, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    assert {lease.act for lease in given.values()} == {Act.ENFORCE}
    first, second = given["node-0"].limits
    assert (first.watts, first.safe_watts) == (400.0, 400.0)
    assert second.safe_watts == given["node-1"].limits[0].safe_watts
    fallen = sum(650.0 + 1.05 * sum(limit.safe_watts for limit in given[name].limits) for name in NAMES)
    assert fallen <= DOMAIN.budget_watts


def test_a_joining_node_waits_until_the_others_fall_lower() -> None:
    coordinator, given = led_before_the_last_joins()
    coordinator.configure(DOMAIN, 100.5)
    coordinator.receive(report("node-19"), 100.6)
    assert coordinator.answer("node-19", 100.6).act is Act.OBSERVE
    given = heard(coordinator, given, share=0.5, sequence=3, now=101.0, names=NAMES[:19])
    heard(coordinator, given, share=0.5, sequence=4, now=102.0, names=NAMES[:19])
    coordinator.receive(report("node-19", sequence=2), 102.3)
    assert coordinator.answer("node-19", 102.3).act is Act.ENFORCE


def test_a_joining_node_does_not_wait_for_one_that_does_not_answer() -> None:
    coordinator, given = led_before_the_last_joins()
    coordinator.configure(DOMAIN, 100.5)
    acts = []
    for sequence in range(3, 25):
        now = 98.0 + sequence
        coordinator.receive(report("node-19", sequence=sequence), now)
        acts.append((sequence, coordinator.answer("node-19", now).act))
        given |= heard(coordinator, given, share=0.5, sequence=sequence, now=now, names=NAMES[1:19])
    enforced = [sequence for sequence, act in acts if act is Act.ENFORCE]
    assert 10 <= enforced[0] <= 20, "once node-0 is planned for, after ten seconds"
    assert enforced == list(range(enforced[0], 25))


def test_a_node_first_heard_late_gets_its_place_though_its_rating_was_known() -> None:
    known = rating_of(report("node-19"))
    coordinator = Coordinator(replace(DOMAIN, ratings={"node-19": known}), EPOCH, now=99.0)
    for name in NAMES[:19]:
        coordinator.receive(report(name, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES[:19]}
    for sequence in range(2, 32):
        given = heard(coordinator, given, share=0.5, sequence=sequence, now=98.0 + sequence, names=NAMES[:19])
    coordinator.receive(report("node-19"), 131.0)
    given = heard(coordinator, given, share=0.5, sequence=33, now=131.5, names=NAMES[:19])
    given = heard(coordinator, given, share=0.5, sequence=34, now=132.0, names=NAMES[:19])
    coordinator.receive(report("node-19", sequence=2), 132.5)
    assert coordinator.answer("node-19", 132.5).act is Act.ENFORCE


def test_a_node_that_left_armed_holds_the_others_back_until_it_is_heard() -> None:
    domain = replace(DOMAIN, members=frozenset(NAMES[:19]), leaving=frozenset(NAMES[19:]))
    domain = replace(domain, ratings={"node-19": rating_of(report("node-19"))})
    coordinator = Coordinator(domain, EPOCH, now=0.0)
    for name in NAMES[:19]:
        coordinator.receive(report(name, enforced=400.0, safe=240.0, heat=0.3), 0.0)
    assert coordinator.answer("node-0", 0.5).limits[0].safe_watts == 240.0
    coordinator.receive(report("node-19", safe=240.0), 0.6)
    coordinator.receive(report("node-0", sequence=2, safe=240.0), 0.7)
    assert coordinator.answer("node-0", 0.8).limits[0].safe_watts == 240.0, "another may lead as well"
    for name in NAMES:
        coordinator.receive(report(name, sequence=3, safe=240.0, epoch=EPOCH), 0.9)
    coordinator.decide(1.2)
    assert coordinator.answer("node-0", 1.2).limits[0].safe_watts == 247.0


def test_a_domain_that_isnt_safe_is_only_observed() -> None:
    coordinator, given = led(domain=replace(DOMAIN, budget_watts=15_000.0), share=0.3)
    assert {lease.act for lease in given.values()} == {Act.OBSERVE}
    assert coordinator.problem is not None
    assert coordinator.problem.reason == "BudgetTooSmall"


BIG = NodeRating(
    node="big",
    host_max_watts=25_000.0,
    gpus=(GpuRating("big/0", 100.0, 400.0),),
)


REFUSED = pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"budget_watts": 15_000.0}, "BudgetTooSmall"),
        ({"curve": Curve(points=((1.05, math.inf), (1.08, 6.0), (1.30, 4.0)))}, "ReactionTooSlow"),
        ({"timings": Timings(lease_s=30.0)}, "ReactionTooSlow"),
        ({"members": DOMAIN.members | {"big"}, "ratings": {"big": BIG}}, "BudgetTooSmall"),
    ],
    ids=["budget", "curve", "leases", "members"],
)


@REFUSED
def test_a_refused_declaration_changes_nothing(change: dict[str, object], reason: str) -> None:
    coordinator, given = led()
    coordinator.configure(replace(DOMAIN, **change), 100.5)  # type: ignore[arg-type]
    given = heard(coordinator, given, share=0.5, sequence=3, now=101.0)
    assert coordinator.problem is not None
    assert coordinator.problem.reason == reason
    kept = coordinator.domain
    assert (kept.budget_watts, kept.curve, kept.timings) == (
        DOMAIN.budget_watts,
        DOMAIN.curve,
        DOMAIN.timings,
    )
    assert kept.members == coordinator.members.keys() == DOMAIN.members
    assert {lease.lease_s for lease in given.values()} == {4.0}
    assert {limit.safe_watts for lease in given.values() for limit in lease.limits} == {247.0}


@REFUSED
def test_a_successor_plans_by_what_it_finds_where_the_declaration_is_refused(
    change: dict[str, object], reason: str
) -> None:
    domain = replace(DOMAIN, **change)  # type: ignore[arg-type]
    coordinator = Coordinator(domain, EPOCH, now=99.0)
    for name in NAMES:
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    given = heard(coordinator, given, share=0.5, sequence=2, now=100.0)
    assert coordinator.problem is not None
    assert coordinator.problem.reason == reason
    assert {limit.watts for lease in given.values() for limit in lease.limits} == {247.0}
    for second in range(1, 40):
        given = heard(coordinator, given, share=0.5, sequence=2 + second, now=100.0 + second, names=NAMES[1:])
    falls = sum(650.0 + 1.05 * sum(limit.safe_watts for limit in given[name].limits) for name in NAMES[1:])
    nameplate_watts = 650.0 + 1.05 * 800.0
    assert falls + nameplate_watts <= 20 * (650.0 + 1.05 * 2 * 247.0)
    assert {limit.watts for name in NAMES[1:] for limit in given[name].limits} == {238.0}
    assert coordinator.level == "MembersUnknown"


def test_who_was_not_found_armed_does_not_join_under_a_refused_declaration() -> None:
    coordinator = Coordinator(replace(DOMAIN, budget_watts=15_000.0), EPOCH, now=99.0)
    coordinator.receive(report("node-0", heat=0.3), 99.5)
    for name in NAMES[1:]:
        coordinator.receive(report(name, enforced=247.0, safe=247.0, heat=0.3), 99.5)
    assert coordinator.answer("node-0", 100.0).act is Act.OBSERVE
    assert coordinator.answer("node-1", 100.0).act is Act.ENFORCE


def test_what_was_refused_is_refused_until_something_else_is_declared() -> None:
    coordinator, given = led()
    coordinator.configure(replace(DOMAIN, budget_watts=15_000.0), 100.5)
    bigger = report("node-0", sequence=3, lease=given["node-0"], safe=247.0)
    coordinator.receive(replace(bigger, host_max_watts=651.0), 101.0)
    assert coordinator.problem is not None
    assert coordinator.problem.reason == "BudgetTooSmall"
    coordinator.configure(DOMAIN, 101.5)
    assert coordinator.problem is None


def test_a_refused_declaration_may_still_end_enforcing() -> None:
    coordinator, _ = led()
    coordinator.configure(replace(DOMAIN, budget_watts=15_000.0, enforce=False), 100.5)
    assert coordinator.answer("node-0", 100.6).act is Act.RELEASE


def test_a_node_that_leaves_with_its_first_order_on_the_way_counts_until_it_answers() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=99.0)
    for name in NAMES:
        coordinator.receive(report(name, heat=0.3), 99.5)
    given = {name: coordinator.answer(name, 99.5) for name in NAMES}
    assert given["node-19"].act is Act.ENFORCE
    coordinator.configure(replace(DOMAIN, members=frozenset(NAMES[:19])), 99.6)
    coordinator.receive(report("node-19", sequence=2, heat=0.3), 99.7)  # was under way before the order came
    given = heard(coordinator, given, share=0.5, sequence=3, now=100.0, names=NAMES[:19])
    assert "node-19" in coordinator.members
    assert given["node-0"].limits[0].safe_watts == 247.0
    coordinator.receive(report("node-19", sequence=4, lease=given["node-19"], safe=247.0), 100.5)
    release = coordinator.answer("node-19", 100.6)
    assert release.act is Act.RELEASE
    coordinator.receive(report("node-19", sequence=5, lease=release), 101.0)
    assert "node-19" not in coordinator.members


def test_while_nothing_is_known_of_a_member_armed_nodes_are_held_at_safe() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=0.0)
    for name in NAMES[:19]:
        coordinator.receive(report(name, enforced=400.0, safe=247.0, heat=0.3), 3.0)
    assert coordinator.level == "MembersUnknown"
    assert watts(coordinator.answer("node-0", 3.0)) == 247.0


def test_a_coordinator_made_late_after_its_renewal_raises_no_longer_for_it() -> None:
    coordinator = Coordinator(DOMAIN, EPOCH, now=100.0, renewed_sent_s=91.0)
    for name in NAMES:
        coordinator.receive(report(name, safe=247.0, epoch=EPOCH), 100.5)
    assert coordinator.raising(100.9) is Raising.FREELY
    assert coordinator.raising(101.1) is Raising.NOT


def test_nobody_is_let_go_by_one_who_may_not_lead_alone() -> None:
    coordinator, _ = led()
    coordinator.configure(replace(DOMAIN, enforce=False), 100.1)
    assert coordinator.answer("node-0", 100.2).act is Act.RELEASE
    coordinator.receive(report("node-1", sequence=3, safe=247.0), 100.3)
    assert coordinator.raising(100.4) is Raising.TO_SAFE
    assert coordinator.answer("node-2", 100.4).act is Act.ENFORCE


def test_release_goes_by_headroom() -> None:
    coordinator, _ = led(share=0.92)
    coordinator.configure(replace(DOMAIN, enforce=False), 100.5)
    acts = [coordinator.answer(name, 100.6).act for name in NAMES]
    assert Act.RELEASE in acts
    assert Act.ENFORCE in acts


@pytest.mark.parametrize(
    ("enforced", "act"), [(247.0, Act.ENFORCE), (399.0, Act.ENFORCE), (400.0, Act.RELEASE)]
)
def test_a_free_row_without_headroom_lets_go_only_whom_that_does_not_raise(enforced: float, act: Act) -> None:
    coordinator, _ = led(share=0.97)
    domain = replace(DOMAIN, members=frozenset(NAMES[:19]), leaving=frozenset({"node-19"}), document=FREE)
    coordinator.configure(domain, 100.2)
    lease = coordinator.answer("node-19", 100.2)
    last = report("node-19", share=0.97, sequence=3, lease=lease, enforced=enforced, safe=240.0, heat=0.3)
    coordinator.receive(last, 100.3)
    assert coordinator.answer("node-19", 100.3).act is act


def test_the_same_reports_give_the_same_leases() -> None:
    one, other = led(share=0.93), led(share=0.93)
    assert one[1] == other[1]
