"""Whom a node obeys, and until when."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import LeaseRefused
from loadline_policies.power.protocol import leases
from loadline_policies.power.protocol.bounds import LEASE_SECONDS
from loadline_policies.power.protocol.leases import Standing
from loadline_policies.power.protocol.messages import Act, Epoch, GpuLimit, GpuReport, Lease

GPU = GpuReport(uuid="gpu", watts=300.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0)
LEASE = Lease(
    domain="row",
    epoch=Epoch(transitions=3, lease_uid="lease"),
    sequence=7,
    answers=41,
    lease_s=4.0,
    act=Act.ENFORCE,
    limits=(GpuLimit(uuid="gpu", watts=400.0, safe_watts=247.0),),
    plan_version=1,
    trigger_watts=3000.0,
    heat=0.5,
    level="Normal",
    policy_hash="abc",
)


def taken(
    lease: Lease = LEASE,
    standing: Standing | None = None,
    *,
    sequence: int = 41,
    sent_s: float = 10.0,
    now: float = 10.5,
) -> Standing:
    return leases.accept(
        standing or Standing(), lease, domain="row", gpus=(GPU,), sequence=sequence, sent_s=sent_s, now=now
    )


def refusal(lease: Lease, standing: Standing | None = None, *, now: float = 10.5) -> str:
    with pytest.raises(LeaseRefused) as refused:
        taken(lease, standing, now=now)
    return refused.value.reason


def test_the_lease_runs_from_when_its_request_was_sent() -> None:
    assert taken().deadline_s == 14.0


def test_the_first_enforce_lease_arms() -> None:
    assert taken().armed
    assert not taken(replace(LEASE, act=Act.OBSERVE, limits=())).armed


@pytest.mark.parametrize(
    ("lease", "reason"),
    [
        (replace(LEASE, domain="other"), "WrongDomain"),
        (replace(LEASE, answers=40), "Replayed"),
        (replace(LEASE, lease_s=0.5), "Expired"),
        (replace(LEASE, lease_s=LEASE_SECONDS[1] + 1.0), "BadDuration"),
        (replace(LEASE, lease_s=-1.0), "BadDuration"),
        (replace(LEASE, epoch=Epoch(2**62, "lease")), "Implausible"),
        (replace(LEASE, epoch=Epoch(-1, "lease")), "Implausible"),
        (replace(LEASE, sequence=2**63), "Implausible"),
        (replace(LEASE, plan_version=-1), "Implausible"),
        (replace(LEASE, heat=1e300), "Implausible"),
        (replace(LEASE, heat=-1.0), "Implausible"),
        (replace(LEASE, trigger_watts=-1.0), "Implausible"),
        (replace(LEASE, policy_level="x" * 400), "Implausible"),
        (replace(LEASE, epoch=Epoch(3, "u" * 400)), "Implausible"),
        (replace(LEASE, limits=(replace(LEASE.limits[0], clock_mhz=-1),)), "OutOfRange"),
        (replace(LEASE, limits=(replace(LEASE.limits[0], clock_mhz=10**9),)), "OutOfRange"),
        (replace(LEASE, limits=()), "WrongGpus"),
        (replace(LEASE, limits=(replace(LEASE.limits[0], uuid="other"),)), "WrongGpus"),
        (replace(LEASE, limits=(replace(LEASE.limits[0], watts=401.0),)), "OutOfRange"),
        (replace(LEASE, limits=(replace(LEASE.limits[0], safe_watts=99.0),)), "OutOfRange"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cant_be_obeyed_is_refused_with_its_reason(lease: Lease, reason: str) -> None:
    assert refusal(lease) == reason


@pytest.mark.parametrize(
    ("epoch", "sequence", "reason"),
    [
        (Epoch(2, "lease"), 99, "OldEpoch"),
        (Epoch(3, "lease"), 7, "OldEpoch"),
        (Epoch(3, "lease"), 6, "OldEpoch"),
        (Epoch(9, "another"), 99, "OtherLease"),
    ],
)
def test_while_a_lease_lives_only_a_higher_epoch_or_sequence_is_obeyed(
    epoch: Epoch, sequence: int, reason: str
) -> None:
    assert refusal(replace(LEASE, epoch=epoch, sequence=sequence), taken()) == reason


@pytest.mark.parametrize("epoch", [Epoch(2, "lease"), Epoch(0, "another")])
def test_without_a_live_lease_any_verified_holder_is_obeyed(epoch: Epoch) -> None:
    standing = taken(replace(LEASE, epoch=epoch), taken(), sequence=41, sent_s=14.0, now=14.1)
    assert standing.epoch == epoch


def test_an_armed_node_is_released_and_never_told_to_observe() -> None:
    observe = replace(LEASE, sequence=8, act=Act.OBSERVE, limits=())
    assert refusal(observe, taken()) == "NotReleased"
    assert not leases.released(taken(replace(LEASE, sequence=8, act=Act.RELEASE, limits=()), taken())).armed


@given(st.floats(0, 100), st.floats(0, 60), st.floats(0.1, 30))
def test_no_lease_outlives_its_request_by_more_than_its_length(
    sent_s: float, took_s: float, lease_s: float
) -> None:
    try:
        standing = taken(replace(LEASE, lease_s=lease_s), sent_s=sent_s, now=sent_s + took_s)
    except LeaseRefused as refused:
        assert refused.reason == "Expired"
        assert took_s >= lease_s or sent_s + took_s >= sent_s + lease_s
    else:
        assert standing.deadline_s == sent_s + lease_s


ORPHAN = replace(GPU, safe_watts=300.0)
"""In force are 400 W; it may step down to 300 W while the answer is on its way."""


def take_over(lease: Lease, gpu: GpuReport = ORPHAN) -> Standing:
    return leases.accept(
        Standing(armed=True),
        lease,
        domain="row",
        gpus=(gpu,),
        sequence=41,
        sent_s=10.0,
        now=10.5,
        takes_over=True,
    )


def told(watts: float, safe_watts: float = 247.0) -> Lease:
    return replace(LEASE, limits=(GpuLimit(uuid="gpu", watts=watts, safe_watts=safe_watts),))


@pytest.mark.parametrize("lease", [told(300.0), told(100.0), told(300.0, safe_watts=350.0)])
def test_an_orphan_is_taken_over_armed_at_no_more_than_it_holds(lease: Lease) -> None:
    taken = take_over(lease)
    assert taken.armed
    assert taken.holding is not None
    assert taken.holding.lease == lease


@pytest.mark.parametrize(
    ("lease", "reason"),
    [
        (told(301.0), "TakeOverRaises"),
        (replace(LEASE, act=Act.RELEASE, limits=()), "NotReleased"),
        (replace(LEASE, act=Act.OBSERVE, limits=()), "NotReleased"),
        (replace(told(300.0), domain="other"), "WrongDomain"),
    ],
)
def test_an_orphan_is_raised_and_released_by_nobody_who_takes_it_over(lease: Lease, reason: str) -> None:
    with pytest.raises(LeaseRefused) as refused:
        take_over(lease)
    assert refused.value.reason == reason


def test_one_that_holds_less_than_its_safe_limit_stays_there() -> None:
    with pytest.raises(LeaseRefused, match="holds 250 W, and would be taken over with 300 W"):
        take_over(told(300.0), replace(ORPHAN, enforced_watts=250.0))
