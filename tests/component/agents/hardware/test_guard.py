"""The guard on the fake GPUs: it acts when the agent can't, only then, and only downwards."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_agent.hardware import armed_records, guard
from loadline_agent.hardware.armed_records import FILE, ArmedRecord, ArmedRecordFile, GpuRecord, GuardReport
from loadline_agent.hardware.guard import OUTDATED_AFTER_S, UNMATCHED_FOR_S, Driver, Guard, NvmlFailed
from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
SAFE_WATTS = 247.0


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0))


@pytest.fixture
def state(tmp_path: Path) -> ArmedRecordFile:
    return ArmedRecordFile(str(tmp_path), BOOT)


@pytest.fixture
def watch(board: Board, state: ArmedRecordFile, clock: Clock) -> Iterator[Guard]:
    with guarding(board, state, clock) as watch:
        yield watch


@contextmanager
def guarding(board: Board, state: ArmedRecordFile, clock: Clock) -> Iterator[Guard]:
    driver = Driver()
    with joined(board.path):
        yield Guard(state, driver, clock=clock, boot=BOOT)
        driver.forget()


def arm(board: Board, state: ArmedRecordFile, *, deadline_s: float, safe_watts: float = SAFE_WATTS) -> None:
    gpus = tuple(GpuRecord(uuid, safe_watts) for uuid in board.uuids(0))
    state.write(ArmedRecord(BOOT, armed=True, deadline_s=deadline_s, gpus=gpus))


def disarm(state: ArmedRecordFile) -> None:
    state.write(ArmedRecord(BOOT))


def report(state: ArmedRecordFile) -> GuardReport:
    said = state.read_report()
    assert said is not None
    return said


def doing(state: ArmedRecordFile) -> str:
    return armed_records.STATES[report(state).state]


def watts(board: Board) -> list[float]:
    return [float(value) for value in board.enforced_watts()[0]]


def test_before_the_deadline_nothing_is_touched(board: Board, state: ArmedRecordFile, watch: Guard) -> None:
    arm(board, state, deadline_s=4.0)
    assert watch.look() == guard.LOOK_S
    assert (doing(state), board.writes().sum()) == ("watching", 0)


def test_it_wakes_at_the_deadline(board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard) -> None:
    arm(board, state, deadline_s=4.0)
    clock.now = 3.9
    assert watch.look() == pytest.approx(0.1)


def test_at_the_deadline_every_gpu_steps_to_safe(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    arm(board, state, deadline_s=4.0)
    clock.now = 4.0
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8
    said = report(state)
    assert (said.interventions, said.errors, doing(state), said.pid) == (8, 0, "expired", os.getpid())


def test_a_renewed_lease_is_left_alone(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    for turn in range(10):
        clock.now = float(turn)
        arm(board, state, deadline_s=turn + 4.0)
        watch.look()
    assert board.writes().sum() == 0


def test_a_node_that_was_never_armed_is_never_touched(
    state: ArmedRecordFile, watch: Guard, board: Board
) -> None:
    watch.look()
    disarm(state)
    watch.look()
    watch.step_down()
    assert (doing(state), board.writes().sum()) == ("idle", 0)


def test_after_a_release_nothing_is_touched(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    arm(board, state, deadline_s=4.0)
    watch.look()
    disarm(state)
    clock.now = 100.0
    watch.look()
    assert (doing(state), board.writes().sum()) == ("idle", 0)


def test_a_late_write_of_a_resumed_agent_is_corrected_at_the_next_look(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    watch.look()
    board.write_as_other(0, 3, watts=400.0)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8
    assert report(state).interventions == 9


def test_an_agent_that_comes_back_is_obeyed(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    watch.look()
    arm(board, state, deadline_s=9.0)
    board.write_as_other(0, 3, watts=400.0)
    watch.look()
    assert (doing(state), watts(board)[3]) == ("watching", 400.0)


def spoil(file: Path) -> None:
    file.write_bytes(b"\xff" * 16384)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("destroy", [spoil, empty, Path.unlink])
def test_a_record_that_is_destroyed_counts_as_expired(
    board: Board, state: ArmedRecordFile, watch: Guard, tmp_path: Path, destroy: Callable[[Path], None]
) -> None:
    arm(board, state, deadline_s=1000.0)
    watch.look()
    destroy(tmp_path / FILE)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8


def test_without_any_good_record_it_says_that_it_is_blind(
    board: Board, state: ArmedRecordFile, watch: Guard, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(b"\xff" * 8192)
    watch.look()
    assert (doing(state), report(state).errors, board.writes().sum()) == ("blind", 1, 0)


def test_a_record_of_another_boot_moves_nothing(
    board: Board, clock: Clock, tmp_path: Path, watch: Guard
) -> None:
    other = "00000000-0000-4000-8000-000000000000"
    gpus = tuple(GpuRecord(uuid, SAFE_WATTS) for uuid in board.uuids(0))
    ArmedRecordFile(str(tmp_path), other).write(ArmedRecord(other, armed=True, deadline_s=1.0, gpus=gpus))
    clock.now = 50.0
    watch.look()
    assert board.writes().sum() == 0


def test_a_gpu_that_cannot_be_found_costs_the_others_no_driver(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver was let go, and loaded anew, at every look: twice a second, for as long as one was lost."""
    forgotten: list[float] = []
    forget = Driver.forget

    def counted(driver: Driver) -> None:
        forgotten.append(clock.now)
        forget(driver)

    monkeypatch.setattr(Driver, "forget", counted)
    arm(board, state, deadline_s=1000.0)
    board.lose(0, 0)
    for look in range(60):
        clock.now = look / 2
        watch.look()
    assert len(forgotten) <= 3
    clock.now = 1001.0
    watch.look()
    assert watts(board)[1:] == [SAFE_WATTS] * 7


def test_a_lost_gpu_does_not_save_the_others(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard
) -> None:
    board.lose(0, 0)
    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    watch.look()
    assert watts(board)[1:] == [SAFE_WATTS] * 7
    assert report(state).errors > 0
    board.heal(0, 0)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8


@pytest.mark.parametrize("code", [1, 4, 15, 999])
def test_an_error_of_the_driver_is_tried_again(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard, code: int
) -> None:
    board.fail(0, 0, writes=code)
    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    watch.look()
    board.heal(0, 0)
    watch.look()
    assert watts(board)[0] == SAFE_WATTS


def test_without_a_driver_it_lives_and_acts_when_there_is_one(
    tmp_path: Path, board: Board, state: ArmedRecordFile, clock: Clock
) -> None:
    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    driver = Driver()
    watch = Guard(state, driver, clock=clock, boot=BOOT)
    with joined(tmp_path / "nothing"):
        watch.look()
    assert report(state).errors > 0
    with joined(board.path):
        watch.look()
        driver.forget()
    assert watts(board) == [SAFE_WATTS] * 8


def test_a_full_disk_does_not_keep_it_from_acting(
    board: Board, state: ArmedRecordFile, clock: Clock, watch: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError("no space left on device")

    arm(board, state, deadline_s=4.0)
    clock.now = 5.0
    monkeypatch.setattr(os, "pwrite", refuse)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8
    assert watch.errors == 1


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Board:
    path = tmp_path_factory.mktemp("row") / "board"
    return Board.create(path, ("node-00",), spec=GpuSpec(power_delay_s=3600.0))


limits = st.lists(st.integers(100_000, 400_000), min_size=8, max_size=8)


@settings(max_examples=min(60, settings().max_examples), deadline=None)
@given(enforced=limits, requested=limits, safe=st.lists(st.integers(0, 500_000), min_size=8, max_size=8))
def test_no_limit_ever_rises_and_none_stays_above_safe(
    row: Board,
    tmp_path_factory: pytest.TempPathFactory,
    enforced: list[int],
    requested: list[int],
    safe: list[int],
) -> None:
    state, clock = ArmedRecordFile(str(tmp_path_factory.mktemp("state")), BOOT), Clock()
    row.gpus["power_index"] = 0
    slots = row.gpus["power"][0, :, 0]
    slots["previous"], slots["requested"] = enforced, requested
    slots["effective_ns"] = np.uint64(2**62)  # asked for, and not in force for long
    gpus = tuple(GpuRecord(uuid, mw / 1000) for uuid, mw in zip(row.uuids(0), safe, strict=True))
    state.write(ArmedRecord(BOOT, armed=True, deadline_s=0.0, gpus=gpus))
    with guarding(row, state, clock) as watch:
        watch.look()
    after = np.rint(row.requested_watts()[0] * 1000)
    assert (after <= np.array(requested)).all()
    written = after != np.array(requested)
    assert (after[written] <= np.maximum(enforced, 100_000)[written]).all()
    assert (np.rint(row.enforced_watts()[0] * 1000) <= np.array(enforced)).all()
    assert (after <= np.maximum(safe, 100_000)).all()
    assert watch.errors == 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (400.0, 100.0), (100_000.0, 400_000.0)])
def test_a_range_that_cannot_be_keeps_no_gpu_up(
    board: Board, state: ArmedRecordFile, watch: Guard, low: float, high: float
) -> None:
    for gpu in range(8):
        board.tell_range(0, gpu, min_watts=low, max_watts=high)
    arm(board, state, deadline_s=-1.0)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8


def test_a_range_that_cannot_be_read_keeps_no_gpu_up(
    board: Board, state: ArmedRecordFile, watch: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Driver._call

    def failing(driver: Driver, name: str, *arguments: object) -> None:
        if name == "nvmlDeviceGetPowerManagementLimitConstraints":
            raise NvmlFailed("answered 999")
        call(driver, name, *arguments)

    monkeypatch.setattr(Driver, "_call", failing)
    arm(board, state, deadline_s=-1.0)
    watch.look()
    assert watts(board) == [SAFE_WATTS] * 8


@pytest.mark.parametrize("deadline_s", [-1.0, 1000.0])
def test_a_guard_is_of_no_use_once_its_library_is_of_another_version_for_long(
    board: Board,
    state: ArmedRecordFile,
    watch: Guard,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    deadline_s: float,
) -> None:
    """Its process has the old library for good: it failed at each look, for ever."""
    monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", "18")
    arm(board, state, deadline_s=deadline_s)
    for clock.now in (0.0, 30.0, OUTDATED_AFTER_S - 1.0):
        watch.look()
        assert not watch.outdated
    monkeypatch.delenv("LOADLINE_FAKEGPU_INIT")
    watch.look()
    monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", "18")
    watch._driver.forget()
    clock.now += 1.0
    watch.look()
    assert not watch.outdated, "it begins anew"
    clock.now += OUTDATED_AFTER_S
    watch.look()
    assert watch.outdated


def test_a_guard_that_never_reached_the_driver_waits_until_the_kubelet_has_forgotten_its_last_end(
    board: Board, state: ArmedRecordFile, watch: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ended each minute would be away for five, while the kubelet backs off."""
    monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", "18")
    arm(board, state, deadline_s=-1.0)
    for clock.now in (0.0, OUTDATED_AFTER_S, 600.0, UNMATCHED_FOR_S - 1.0):
        watch.look()
        assert not watch.outdated
    clock.now = UNMATCHED_FOR_S
    watch.look()
    assert watch.outdated
    monkeypatch.delenv("LOADLINE_FAKEGPU_INIT")
    watch.look()
    assert not watch.outdated, "the driver of its library was loaded"
    assert watts(board) == [SAFE_WATTS] * 8


def test_other_errors_never_end_a_guard(
    board: Board, state: ArmedRecordFile, watch: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", "9")
    arm(board, state, deadline_s=-1.0)
    for clock.now in (0.0, 30.0, 3600.0):
        watch.look()
    assert not watch.outdated
