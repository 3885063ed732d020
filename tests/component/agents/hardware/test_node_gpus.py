"""Whose limits a node finds on its GPUs: its own, its guard's, or a stranger's."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GuardReport
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.other_writers import SUSPECT_FOR_S, Conflict
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.errors import GpuLost
from loadline_policies.power.protocol.messages import GpuLimit
from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

NVML_ERROR_UNKNOWN = 999
NVML_ERROR_NO_PERMISSION = 4
SETTER_ERRORS = [2, 3, NVML_ERROR_NO_PERMISSION, 15, NVML_ERROR_UNKNOWN]
"""Invalid argument, not supported, no permission, lost, unknown: a setter may answer any of them for good."""

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
SAFE_WATTS = 247.0
DEADLINE_S = 1000.0


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))


@pytest.fixture
def state(tmp_path: Path) -> ArmedRecordFile:
    return ArmedRecordFile(str(tmp_path), BOOT)


@pytest.fixture
def node_gpus(board: Board, state: ArmedRecordFile, clock: Clock) -> Iterator[NodeGpus]:
    """A node whose GPUs were all ordered to 300 W at 0 s."""
    with joined(board.path):
        gpus = GpuSensors.open()
        made = NodeGpus(gpus, state, boot=BOOT, clock=clock)
        limits = tuple(GpuLimit(uuid=uuid, watts=300.0, safe_watts=SAFE_WATTS) for uuid in board.uuids(0))
        made.enforce(limits, plan_version=1, deadline_s=DEADLINE_S)
        yield made
        gpus.close()


def looked(node_gpus: NodeGpus, clock: Clock, at_s: float) -> bool:
    """Whether the node is in conflict after a look at this time."""
    clock.now = at_s
    node_gpus.look()
    return node_gpus.in_conflict


def test_a_strangers_limit_seen_twice_is_a_conflict(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    board.write_as_other(0, 0, watts=390.0)
    assert not looked(node_gpus, clock, at_s=1.5)
    assert looked(node_gpus, clock, at_s=2.5)
    wrong = Conflict(uuid=board.uuids(0)[0], wanted_watts=300.0, requested_watts=390.0, enforced_watts=390.0)
    assert node_gpus.conflicts == (wrong,)


def test_a_strangers_limit_that_vanished_for_long_is_suspected_anew(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.write_as_other(0, 0, watts=390.0)
    assert not looked(node_gpus, clock, at_s=1.5)
    board.write_as_other(0, 0, watts=300.0)
    assert not looked(node_gpus, clock, at_s=2.5)
    board.write_as_other(0, 0, watts=390.0)
    assert not looked(node_gpus, clock, at_s=1.5 + SUSPECT_FOR_S)


def test_our_own_limit_gets_time_to_settle(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    board.write_as_other(0, 0, watts=390.0)
    for at_s in (0.2, 0.5, 0.9):
        assert not looked(node_gpus, clock, at_s)
    assert not looked(node_gpus, clock, at_s=1.5), "the first look that counts"


def test_a_bmc_that_limits_more_is_no_conflict(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    board.limit_outband(0, 0, watts=200.0)
    for at_s in (1.5, 2.5, 3.5):
        assert not looked(node_gpus, clock, at_s)
    gpu = node_gpus.state().gpus[0]
    assert (gpu.requested_watts, gpu.enforced_watts, gpu.able) == (300.0, 200.0, True)


def test_what_the_guard_did_is_no_conflict(
    board: Board, state: ArmedRecordFile, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.write_as_other(0, 0, watts=SAFE_WATTS)
    looked(node_gpus, clock, at_s=1.5)
    state.write_report(GuardReport(BOOT, 7, 1.6, looks=9, interventions=1, errors=0, state=2))
    for at_s in (2.5, 3.5, 4.5):
        assert not looked(node_gpus, clock, at_s)


def test_a_node_that_enforces_nothing_has_no_conflict(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    node_gpus.restore(DEADLINE_S)
    board.write_as_other(0, 5, watts=222.0)
    for at_s in (1.5, 2.5):
        assert not looked(node_gpus, clock, at_s)


def test_a_conflict_says_which_gpu_holds_what(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    board.write_as_other(0, 0, watts=390.0)
    looked(node_gpus, clock, at_s=1.5)
    looked(node_gpus, clock, at_s=2.5)
    said = f"{board.uuids(0)[0]}: set to 300 W, and the limit is now 390 W, with 390 W in force"
    assert node_gpus.state().faults == {"OtherWriter": said}


def ordered(node_gpus: NodeGpus, board: Board) -> None:
    """The same lease again."""
    limits = tuple(GpuLimit(uuid=uuid, watts=300.0, safe_watts=SAFE_WATTS) for uuid in board.uuids(0))
    node_gpus.enforce(limits, plan_version=1, deadline_s=DEADLINE_S)


def test_a_gpu_on_which_somebody_writes_often_is_unable_at_what_he_wrote(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    for second in range(2, 30, 3):
        clock.now = float(second)
        board.write_as_other(0, 0, watts=390.0)
        ordered(node_gpus, board)
    first, second_gpu, *_ = node_gpus.state().gpus
    assert board.requested_watts()[0][0] == 300.0, "ours is written again each time"
    assert (first.able, first.requested_watts) == (False, 390.0)
    assert (second_gpu.able, second_gpu.requested_watts) == (True, 300.0)


def test_somebody_who_writes_once_a_minute_leaves_a_gpu_able(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    node_gpus.look()
    for minute in range(1, 12):
        clock.now = 61.0 * minute
        board.write_as_other(0, 0, watts=390.0)
        ordered(node_gpus, board)
        clock.now += 1.0
        node_gpus.sample()
        assert node_gpus.state().gpus[0].able


def test_what_its_owner_had_set_is_told_also_after_our_own_writes(
    board: Board, state: ArmedRecordFile, clock: Clock
) -> None:
    board.write_as_other(0, 0, watts=350.0)
    with joined(board.path):
        gpus = GpuSensors.open()
        made = NodeGpus(gpus, state, boot=BOOT, clock=clock)
        assert made.state().gpus[0].found_watts == 350.0
        ordered(made, board)
        made.look()
        again = NodeGpus(gpus, state, boot=BOOT, clock=clock)
        told = [
            (one.state().gpus[0].requested_watts, one.state().gpus[0].found_watts) for one in (made, again)
        ]
        gpus.close()
    assert told == [(300.0, 350.0)] * 2, "and after a restart"


def test_a_gpu_that_cannot_be_read_may_hold_anything(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    node_gpus.look()
    board.lose(0, 0)
    clock.now = 1.5
    node_gpus.sample()
    assert node_gpus.state().gpus[0].most_watts == 300.0, "one look is none"
    clock.now = 3.0
    node_gpus.sample()
    gpu = node_gpus.state().gpus[0]
    assert (gpu.most_watts, gpu.requested_watts, gpu.able) == (gpu.max_watts, None, False)


def test_one_that_cannot_be_read_may_hold_anything_also_where_nothing_is_enforced(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    """It counted at the limit that was read last, which a reset of it has undone."""
    node_gpus.restore(DEADLINE_S)
    board.write_as_other(0, 0, watts=300.0)
    node_gpus.look()
    board.lose(0, 0)
    clock.now = 11.0
    node_gpus.sample()
    gpu = node_gpus.state().gpus[0]
    assert (gpu.ok, gpu.watts) == (False, gpu.max_watts)


def test_what_was_read_before_our_write_is_no_strangers(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    """A GPU that fell silent after a write was told for ten minutes as set by somebody else."""
    board.fail(0, 3, reads=NVML_ERROR_UNKNOWN)
    for at_s in (1.5, 2.5, 3.5):
        assert not looked(node_gpus, clock, at_s)
    board.heal(0, 3)
    assert not looked(node_gpus, clock, at_s=4.5), "it holds what was ordered"


def test_a_gpu_that_is_silent_again_and_again_is_not_taken_for_one_that_others_write(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    for turn in range(5):
        clock.now = 5.0 * turn + 2.0
        enforced(node_gpus, board, watts=290.0 - turn % 2)
        board.fail(0, 3, reads=NVML_ERROR_UNKNOWN)
        looked(node_gpus, clock, at_s=clock.now + 0.5)
        board.heal(0, 3)
        looked(node_gpus, clock, at_s=clock.now + 0.25)
    assert all(able(node_gpus))


def test_one_that_answers_again_needs_proof(board: Board, node_gpus: NodeGpus, clock: Clock) -> None:
    board.lose(0, 0)
    for at_s in (1.5, 3.0):
        clock.now = at_s
        node_gpus.sample()
    board.heal(0, 0)
    clock.now = 5.0
    node_gpus.sample()
    gpu = node_gpus.state().gpus[0]
    assert (gpu.requested_watts, gpu.able) == (300.0, False)


def test_limits_of_an_armed_node_are_read_back_also_while_no_lease_comes(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.write_as_other(0, 0, watts=390.0)
    clock.now = 1.5
    node_gpus.sample()
    assert node_gpus.state().gpus[0].requested_watts == 390.0


def test_a_node_of_which_a_gpu_refuses_what_was_found_stays_armed(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.fail(0, 0, writes=NVML_ERROR_UNKNOWN)
    assert node_gpus.restore(DEADLINE_S).errors
    assert node_gpus.record.armed
    board.heal(0, 0)
    assert not node_gpus.restore(DEADLINE_S).errors
    assert not node_gpus.record.armed


def released(node_gpus: NodeGpus, times: int = 3) -> None:
    for _ in range(times):
        node_gpus.restore(DEADLINE_S)


def asked(node_gpus: NodeGpus) -> list[float | None]:
    return [gpu.requested_watts for gpu in node_gpus.state().gpus]


def test_a_gpu_that_refuses_three_times_is_left_behind_and_no_release_waits_for_it(
    board: Board, node_gpus: NodeGpus, state: ArmedRecordFile
) -> None:
    board.fail(0, 5, writes=NVML_ERROR_UNKNOWN)
    released(node_gpus, 2)
    assert node_gpus.record.armed
    released(node_gpus, 1)
    assert not node_gpus.state().armed
    assert board.requested_watts()[0].tolist() == [400.0] * 5 + [300.0] + [400.0] * 2
    assert [(gpu.uuid, gpu.found_watts) for gpu in state.read().gpus] == [(board.uuids(0)[5], 400.0)]


def test_a_setter_that_says_yes_and_does_nothing_has_failed_too(
    board: Board, node_gpus: NodeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.write_as_other(0, 2, watts=250.0)
    device = node_gpus._gpus.device(board.uuids(0)[2])
    monkeypatch.setattr(device, "set_limit_mw", lambda limit_mw: None)
    released(node_gpus, 2)
    assert node_gpus.record.armed
    released(node_gpus, 1)
    assert [gpu.uuid for gpu in node_gpus.record.gpus] == [board.uuids(0)[2]]


def test_a_setter_that_works_again_is_tried_from_the_beginning(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.fail(0, 5, writes=NVML_ERROR_UNKNOWN)
    released(node_gpus, 2)
    board.heal(0, 5)
    clock.now = 2.0
    enforced(node_gpus, board, watts=280.0)
    clock.now = 4.0
    node_gpus.look()
    board.fail(0, 5, writes=NVML_ERROR_UNKNOWN)
    released(node_gpus, 2)
    assert node_gpus.record.armed


def test_what_was_left_behind_is_known_to_a_successor_and_the_owners_once_it_was_set(
    board: Board, node_gpus: NodeGpus, state: ArmedRecordFile, clock: Clock
) -> None:
    """Else the limit that we left would be what is found by the next one, and hold the GPU for ever."""
    board.fail(0, 5, writes=NVML_ERROR_UNKNOWN)
    released(node_gpus)
    board.heal(0, 5)
    with closing(NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=clock)) as successor:
        gpu = successor.state().gpus[5]
        assert (gpu.found_watts, gpu.requested_watts) == (400.0, 300.0)
        board.write_as_other(0, 5, watts=350.0)
        successor.look()
        assert state.read().gpus == ()
        assert [gpu.found_watts for gpu in successor.state().gpus] == asked(successor)


def test_a_node_that_is_armed_again_gives_back_what_was_found_at_first(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.fail(0, 5, writes=NVML_ERROR_UNKNOWN)
    released(node_gpus)
    board.heal(0, 5)
    clock.now = 2.0
    enforced(node_gpus, board, watts=280.0)
    released(node_gpus, 1)
    assert not node_gpus.record.armed
    assert board.requested_watts()[0].tolist() == [400.0] * 8


def test_a_release_that_is_carried_out_late_raises_nothing(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    clock.now = 2.0
    enforced(node_gpus, board, watts=SAFE_WATTS)
    clock.now = 3600.0
    done = node_gpus.restore(deadline_s=4.0)
    assert done.late
    assert node_gpus.record.armed
    assert board.requested_watts()[0].tolist() == [SAFE_WATTS] * 8


def test_a_release_that_is_overtaken_by_its_deadline_falls_back(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    """The process is stopped within the third setter."""
    clock.now = 2.0
    enforced(node_gpus, board, watts=SAFE_WATTS)
    moments = iter([2.1] * 6)
    node_gpus._limits._clock = lambda: next(moments, 3600.0)
    done = node_gpus.restore(deadline_s=4.0)
    assert done.late
    assert node_gpus.record.armed
    assert board.requested_watts()[0].tolist() == [SAFE_WATTS] * 8
    moments = iter([2.1] * 1000)
    assert not node_gpus.restore(deadline_s=4.0).late
    assert board.requested_watts()[0].tolist() == [400.0] * 8, "what was found first, not where they fell"


def full(record: ArmedRecord) -> None:
    raise OSError("no space left on device")


def test_nothing_is_set_or_given_back_that_could_not_be_recorded_first(
    board: Board, node_gpus: NodeGpus, state: ArmedRecordFile, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "write", full)
    clock.now, writes = 2.0, board.writes().sum()
    with pytest.raises(OSError, match="no space left"):
        enforced(node_gpus, board, watts=280.0)
    with pytest.raises(OSError, match="no space left"):
        node_gpus.restore(DEADLINE_S)
    assert board.writes().sum() == writes
    assert (node_gpus.record.armed, node_gpus.record.deadline_s) == (True, DEADLINE_S)
    assert not node_gpus.step_down().errors, "that takes no record"
    assert board.requested_watts()[0].tolist() == [SAFE_WATTS] * 8


def test_the_record_names_the_domain_that_armed_the_node_until_that_has_released_it(
    board: Board, node_gpus: NodeGpus, state: ArmedRecordFile, clock: Clock
) -> None:
    """A restarted agent didn't know whose its node was, and reported to whoever selected it then."""
    limits = tuple(GpuLimit(uuid=uuid, watts=300.0, safe_watts=SAFE_WATTS) for uuid in board.uuids(0))
    node_gpus.enforce(limits, plan_version=2, deadline_s=DEADLINE_S, domain="row-a")
    node_gpus.step_down()
    with closing(NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=clock)) as successor:
        assert successor.state().domain == "row-a"
        successor.restore(DEADLINE_S)
        assert successor.state().domain == state.read().domain == ""


def able(node_gpus: NodeGpus) -> list[bool]:
    return [gpu.able for gpu in node_gpus.state().gpus]


@pytest.mark.parametrize("code", SETTER_ERRORS)
def test_a_setter_that_fails_is_held_against_its_gpu_alone(
    board: Board, node_gpus: NodeGpus, clock: Clock, code: int
) -> None:
    board.fail(0, 3, writes=code)
    clock.now = 2.0
    enforced(node_gpus, board, watts=280.0)
    assert able(node_gpus) == [index != 3 for index in range(8)]
    assert (node_gpus.settable, node_gpus.record.armed) == (True, True)


@pytest.mark.parametrize("code", SETTER_ERRORS)
def test_a_setter_that_fails_from_the_start_leaves_its_node_armed(
    board: Board, state: ArmedRecordFile, clock: Clock, code: int
) -> None:
    """The node was disarmed for the one that answers "no permission", with our limits on all others."""
    board.fail(0, 3, writes=code)
    with joined(board.path), closing(NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=clock)) as made:
        for clock.now in (0.0, 10.0, 20.0):
            enforced(made, board, watts=300.0 - clock.now % 20.0)
            assert (made.settable, made.record.armed) == (True, True)
        assert board.requested_watts()[0].tolist() == [300.0] * 3 + [400.0] + [300.0] * 4
        assert able(made) == [index != 3 for index in range(8)]


def test_a_node_none_of_whose_gpus_may_be_set_has_nothing_to_release(
    board: Board, state: ArmedRecordFile, clock: Clock
) -> None:
    board.allow_writes(0, False)
    with joined(board.path), closing(NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=clock)) as made:
        enforced(made, board, watts=300.0)
        assert (made.settable, made.record.armed) == (False, False)


def test_a_node_whose_right_is_lost_stays_armed_with_what_was_found(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.allow_writes(0, False)
    clock.now = 2.0
    enforced(node_gpus, board, watts=280.0)
    assert (node_gpus.settable, node_gpus.record.armed) == (False, True)
    assert {gpu.found_watts for gpu in node_gpus.record.gpus} == {400.0}


def test_an_order_that_no_gpu_can_take_says_nothing_of_its_setter(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    clock.now = 2.0
    done = enforced(node_gpus, board, watts=401.0)
    assert len(done.errors) == 8
    assert all(able(node_gpus))


def test_a_write_that_nobody_can_read_back_has_failed(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    clock.now = 2.0
    enforced(node_gpus, board, watts=280.0)
    board.write_as_other(0, 3, watts=390.0)
    looked(node_gpus, clock, at_s=2.2)
    assert all(able(node_gpus)), "it may still be on its way"
    looked(node_gpus, clock, at_s=3.1)
    assert able(node_gpus) == [index != 3 for index in range(8)]


def test_a_gpu_is_believed_again_after_three_writes_in_thirty_seconds(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    board.fail(0, 3, writes=999)
    for turn in range(6):
        clock.now = 10.0 * turn + 2.0
        enforced(node_gpus, board, watts=280.0 - turn % 2)
        looked(node_gpus, clock, at_s=clock.now + 0.25)
        assert able(node_gpus)[3] == (turn >= 4)
        board.heal(0, 3)


def test_a_clock_that_cannot_be_locked_says_nothing_of_limits(
    board: Board, node_gpus: NodeGpus, clock: Clock
) -> None:
    clock.now = 2.0
    done = enforced(node_gpus, board, watts=280.0, clock_mhz=1275)
    assert done.writes
    assert all(able(node_gpus))


def enforced(node_gpus: NodeGpus, board: Board, *, watts: float, clock_mhz: int | None = None) -> Done:
    limits = tuple(
        GpuLimit(uuid=uuid, watts=watts, safe_watts=SAFE_WATTS, clock_mhz=clock_mhz)
        for uuid in board.uuids(0)
    )
    return node_gpus.enforce(limits, plan_version=1, deadline_s=DEADLINE_S)


def test_a_gpu_that_was_lost_at_the_start_keeps_its_place_in_the_record(
    board: Board, state: ArmedRecordFile, node_gpus: NodeGpus, clock: Clock
) -> None:
    """It was dropped from the record by the next promise, and with it what to give back and where to fall."""
    node_gpus.look()
    lost = board.uuids(0)[0]
    board.lose(0, 0)
    gpus = GpuSensors.open()
    again = NodeGpus(gpus, state, boot=BOOT, clock=clock)
    assert lost not in {info.uuid for info in again.infos}
    limits = tuple(
        GpuLimit(uuid=info.uuid, watts=280.0, safe_watts=SAFE_WATTS - 20.0) for info in again.infos
    )
    again.enforce(limits, plan_version=2, deadline_s=DEADLINE_S)
    gpus.close()
    kept = {gpu.uuid: (gpu.safe_watts, gpu.found_watts) for gpu in again.record.gpus}
    assert kept[lost] == (SAFE_WATTS, 400.0)
    assert len(kept) == 8


def test_the_others_step_down_though_the_record_names_a_gpu_that_is_not_here(
    board: Board, state: ArmedRecordFile, node_gpus: NodeGpus, clock: Clock
) -> None:
    node_gpus.look()
    board.lose(0, 0)
    gpus = GpuSensors.open()
    again = NodeGpus(gpus, state, boot=BOOT, clock=clock)
    done = again.step_down()
    gpus.close()
    assert [type(error) for error in done.errors] == [GpuLost]
    assert board.enforced_watts()[0][1:].tolist() == [SAFE_WATTS] * 7
