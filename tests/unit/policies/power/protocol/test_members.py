"""What a node counts for: by what it shows, may draw, falls to, and was told."""

from dataclasses import replace

import pytest

from loadline_policies.power.protocol.bounds import GPUS
from loadline_policies.power.protocol.members import REBOOTED_AFTER_S, Member, rating_of
from loadline_policies.power.protocol.messages import UNIDENTIFIED, Epoch, GpuLimit, GpuReport, Report
from loadline_policies.power.safety.safe_states import SENSOR_GAIN

EPOCH = Epoch(1, "uid")
HOST, HELD, SAFE, MOST = 500.0, 300.0, 250.0, 400.0
GPU = GpuReport(
    uuid="gpu",
    watts=200.0,
    enforced_watts=HELD,
    min_watts=100.0,
    max_watts=MOST,
    able=True,
    proven=True,
    safe_watts=SAFE,
)
REPORT = Report(
    node="node", domain="row", sequence=1, age_s=0.0, host_watts=HOST, host_max_watts=HOST,
    gpus=(GPU,), epoch=EPOCH, lease_sequence=1, armed=True,
)  # fmt: skip


def heard(report: Report = REPORT) -> Member:
    member = Member("node")
    member.hear(report, now=100.0, epoch=EPOCH)
    return member


def watts(limit: float) -> float:
    return HOST + SENSOR_GAIN * limit


def test_the_breaker_may_see_more_than_a_sensor_shows() -> None:
    assert heard().watts(100.0, 2.0) == HOST + 200.0
    assert heard().hot_watts(100.0, 2.0) == watts(200.0)


def test_a_silent_node_counts_at_what_it_holds_and_later_at_its_maximum() -> None:
    assert heard().watts(103.0, 2.0) == watts(HELD)
    assert heard().watts(100.0 + REBOOTED_AFTER_S + 1.0, 2.0) == watts(MOST)


def test_a_limit_on_its_way_counts_until_its_lease_is_acknowledged() -> None:
    member = heard()
    member.order([GpuLimit(uuid="gpu", watts=390.0, safe_watts=SAFE)], 7)
    assert member.most_watts == watts(390.0)
    member.hear(replace(REPORT, sequence=2, lease_sequence=6), now=101.0, epoch=EPOCH)
    assert member.most_watts == watts(390.0)
    member.hear(replace(REPORT, sequence=3, lease_sequence=7), now=102.0, epoch=EPOCH)
    assert member.most_watts == watts(HELD)


def test_a_larger_safe_limit_on_its_way_is_no_acknowledgement_of_a_smaller_one() -> None:
    """A report from before it says the old one: a node joined on that, at 1.14 of the budget."""
    member = heard()
    assert member.acknowledged({"gpu": SAFE})
    member.order([GpuLimit(uuid="gpu", watts=390.0, safe_watts=SAFE + 50.0)], 7)
    member.order([GpuLimit(uuid="gpu", watts=390.0, safe_watts=SAFE)], 8)
    assert not member.acknowledged({"gpu": SAFE})
    assert member.falls_watts(100.0, 2.0) == {"gpu": SAFE + 50.0}
    member.hear(replace(REPORT, sequence=2, lease_sequence=7), now=101.0, epoch=EPOCH)
    assert not member.acknowledged({"gpu": SAFE})
    member.hear(replace(REPORT, sequence=3, lease_sequence=8), now=102.0, epoch=EPOCH)
    assert member.acknowledged({"gpu": SAFE})


def test_one_that_is_told_to_release_may_draw_all_until_it_answers() -> None:
    member = heard()
    member.release(7, 101.0)
    assert member.most_watts == watts(MOST)
    member.hear(replace(REPORT, sequence=2, lease_sequence=7, armed=False), now=102.0, epoch=EPOCH)
    assert not member.bound


@pytest.mark.parametrize(
    ("report", "now", "falls"),
    [
        (REPORT, 100.0, SAFE),
        (replace(REPORT, gpus=(replace(GPU, enforced_watts=220.0),)), 100.0, 220.0),
        (replace(REPORT, gpus=(replace(GPU, able=False),)), 100.0, HELD),
        (REPORT, 103.0, HELD),
        (REPORT, 140.0, MOST),
        (replace(REPORT, armed=False), 100.0, MOST),
    ],
    ids=["heard", "below safe", "unable", "silent", "silent for long", "unarmed"],
)
def test_where_a_gpu_falls_with_nobodys_help(report: Report, now: float, falls: float) -> None:
    assert heard(report).falls_watts(now, 2.0) == {"gpu": falls}


def test_a_gpu_that_does_not_obey_counts_at_the_most_that_it_has_held_since() -> None:
    unable = replace(REPORT, gpus=(replace(GPU, able=False),))
    member = heard(unable)
    lower = replace(unable, sequence=2, gpus=(replace(GPU, able=False, enforced_watts=220.0),))
    member.hear(lower, now=101.0, epoch=EPOCH)
    rating = member.counted_rating(patient=False)
    assert rating.gpus[0].fixed_watts == HELD
    member.hear(replace(REPORT, sequence=3), now=102.0, epoch=EPOCH)
    assert member.counted_rating(patient=False).gpus[0].fixed_watts is None


def test_what_it_counts_or_falls_by_is_a_change_and_what_it_draws_is_none() -> None:
    member = heard()
    member.hear(replace(REPORT, sequence=2, gpus=(replace(GPU, watts=123.0),)), now=101.0, epoch=EPOCH)
    member.order((GpuLimit(uuid="gpu", watts=HELD, safe_watts=GPU.safe_watts or 0.0),), 2)
    assert member.changes == 1
    member.order((GpuLimit(uuid="gpu", watts=MOST, safe_watts=GPU.safe_watts or 0.0),), 3)
    assert member.changes == 2
    member.hear(replace(REPORT, sequence=3, lease_sequence=3), now=102.0, epoch=EPOCH)
    assert member.changes == 3, "the raise isn't on its way any more"
    member.release(4, 103.0)
    member.hear(replace(REPORT, sequence=4, lease_sequence=3, armed=False), now=104.0, epoch=EPOCH)
    assert member.changes == 5


def test_one_that_is_planned_for_counts_at_that_whatever_it_says() -> None:
    member = heard()
    member.planned_watts = {"gpu": 390.0}
    rating = member.counted_rating(patient=False)
    assert rating.floor_watts == watts(390.0)
    assert rating.nameplate_watts == watts(MOST)


def test_a_gpu_that_is_not_told_of_any_more_counts_at_its_maximum() -> None:
    """An agent that starts while one is lost doesn't know of it; its share went to the others."""
    both = replace(REPORT, gpus=(GPU, replace(GPU, uuid="other")))
    member = heard(both)
    for sequence in (2, 3):
        member.hear(replace(both, sequence=sequence), now=100.0, epoch=EPOCH)
    for sequence in (4, 5):
        member.hear(replace(REPORT, sequence=sequence), now=101.0, epoch=EPOCH)
        rating = member.counted_rating(patient=False)
        assert {gpu.uuid: gpu.fixed_watts for gpu in rating.gpus} == {"gpu": None, "other": MOST}
    member.hear(replace(both, sequence=6), now=102.0, epoch=EPOCH)
    assert {gpu.fixed_watts for gpu in member.counted_rating(patient=False).gpus} == {None}


def test_a_gpu_that_comes_and_goes_is_missing_each_time() -> None:
    """What was believed once isn't doubted for having been away: the row would make use of its watts."""
    member = heard()
    for sequence in range(2, 4):
        member.hear(replace(REPORT, sequence=sequence), now=100.0 + sequence, epoch=EPOCH)
    without = replace(REPORT, gpus=())
    for sequence in (4, 6, 8):
        member.hear(replace(without, sequence=sequence), now=100.0 + sequence, epoch=EPOCH)
        assert member.counted_rating(patient=False).floor_watts == watts(MOST)
        member.hear(replace(REPORT, sequence=sequence + 1), now=101.0 + sequence, epoch=EPOCH)
        assert member.counted_rating(patient=False).floor_watts < watts(MOST)


@pytest.mark.parametrize(
    ("gpu", "unseen"),
    [
        (replace(GPU, able=False, enforced_watts=MOST), MOST - HELD),  # it can't be read any more
        (replace(GPU, able=False), 0.0),  # its setter fails, and it holds what it held
        (replace(GPU, enforced_watts=MOST), 0.0),  # it was raised, and its sensor shows what it draws
        (replace(GPU, uuid="other", able=False, enforced_watts=MOST), 0.0),  # it is new
    ],
)
def test_a_gpu_that_can_no_longer_be_read_may_have_held_more_than_it_counted_at(
    gpu: GpuReport, unseen: float
) -> None:
    later = replace(REPORT, sequence=2, gpus=(gpu,))
    assert heard().hear(later, now=101.0, epoch=EPOCH) == unseen


def test_a_gpu_that_only_the_nodes_capacity_lists_counts_at_its_maximum() -> None:
    member = Member("node", rating=rating_of(replace(REPORT, gpus=(GPU, replace(GPU, uuid="other")))))
    member.hear(REPORT, now=100.0, epoch=EPOCH)
    rating = member.counted_rating(patient=False)
    assert {gpu.uuid: gpu.fixed_watts for gpu in rating.gpus} == {"gpu": None, "other": MOST}


def test_names_that_were_told_once_take_no_room_for_ever() -> None:
    """A member that told of other GPUs with each report had the row held at its lowest limits for good."""
    member = heard()
    for number in range(100):
        odd = replace(REPORT, sequence=2 + number, gpus=(GPU, replace(GPU, uuid=f"x{number}")))
        member.hear(odd, now=101.0, epoch=EPOCH)
    member.hear(replace(REPORT, sequence=200), now=102.0, epoch=EPOCH)
    assert [gpu.uuid for gpu in member.counted_rating(patient=False).gpus] == ["gpu"]


def test_a_member_has_no_more_gpus_than_a_node_may_have() -> None:
    member = heard()
    for number in range(0, 400, 4):
        odd = replace(REPORT, gpus=(GPU, replace(GPU, uuid=f"x{number}")))
        for sequence in range(4):
            member.hear(replace(odd, sequence=2 + number + sequence), now=101.0, epoch=EPOCH)
    assert len(member.counted_rating(patient=False).gpus) == GPUS[1]


def test_a_gpu_that_had_no_name_of_its_own_is_counted_once_when_it_has_one() -> None:
    nameless = replace(GPU, uuid=f"{UNIDENTIFIED}3", min_watts=MOST, able=False)
    member = heard(replace(REPORT, gpus=(nameless,)))
    assert member.counted_rating(patient=False).nameplate_watts == watts(MOST)
    member.hear(replace(REPORT, sequence=2), now=101.0, epoch=EPOCH)
    assert member.counted_rating(patient=False).nameplate_watts == watts(MOST)


def test_one_that_is_armed_for_a_domain_that_is_gone_counts_as_one_that_joins() -> None:
    member = heard(replace(REPORT, armed_for="another"))
    assert not member.armed
    assert not member.bound
    assert member.falls_watts(100.0, 2.0) == {"gpu": MOST}
    faulty = heard(replace(REPORT, armed_for="another", faults=("OtherWriter",)))
    assert faulty.rating is not None
    assert not faulty.rating.settable, "a fault keeps it from being taken over"
