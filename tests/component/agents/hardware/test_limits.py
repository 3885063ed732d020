"""Orders on the fake GPUs: carried out once, never late, taken back, given back."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from loadline_agent.hardware.limits import Limits, Order, OriginalLimit
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.errors import GpuLost, HardwareError, NoPermission, OutOfRange
from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

SAFE_WATTS = 247.0
DEADLINE_S = 4.0
LATER_S = 100.0


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))


@pytest.fixture
def gpus(board: Board) -> Iterator[GpuSensors]:
    with joined(board.path):
        gpus = GpuSensors.open()
        yield gpus
        gpus.close()


@pytest.fixture
def limits(gpus: GpuSensors, clock: Clock) -> Limits:
    return Limits(gpus, clock=clock)


def order(board: Board, watts: float, *, gpu: int = 0, clock_mhz: int | None = None) -> Order:
    return Order(uuid=board.uuids(0)[gpu], watts=watts, safe_watts=SAFE_WATTS, clock_mhz=clock_mhz)


def overtaken(before: int) -> Callable[[], float]:
    """A clock that jumps past every deadline after it was read `before` times."""
    times = chain(repeat(0.0, before), repeat(LATER_S))
    return lambda: next(times)


def watts(board: Board, gpu: int = 0) -> float:
    return float(board.enforced_watts()[0, gpu])


def test_an_order_sets_watts_and_clock(board: Board, limits: Limits) -> None:
    (outcome,) = limits.apply([order(board, 300.0, clock_mhz=1110)], DEADLINE_S)
    assert (outcome.written, outcome.late, outcome.error) == (True, False, None)
    assert (watts(board), board.locked_mhz()[0, 0]) == (300.0, 1110)
    held = limits.read_back()[0]
    assert (held.enforced_watts, held.requested_watts, held.sm_mhz, held.clock_mhz) == (
        300.0,
        300.0,
        1110,
        1110,
    )


def test_what_is_in_force_is_not_written_again(board: Board, limits: Limits) -> None:
    for _ in range(5):
        limits.apply([order(board, 300.0, clock_mhz=1110)], DEADLINE_S)
    assert board.writes()[0, 0] == 2


def test_a_limit_on_its_way_is_not_written_again(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "slow", ("node-00",), spec=GpuSpec(power_delay_s=3600.0))
    with joined(board.path):
        gpus = GpuSensors.open()
        limits = Limits(gpus, clock=Clock())
        for _ in range(3):
            limits.apply([order(board, 300.0)], DEADLINE_S)
        gpus.close()
    assert board.writes()[0, 0] == 1
    assert watts(board) == 400.0


def test_an_order_without_a_clock_frees_only_our_own_lock(board: Board, limits: Limits) -> None:
    limits.apply([order(board, 400.0)], DEADLINE_S)
    assert board.writes()[0, 0] == 0
    limits.apply([order(board, 400.0, clock_mhz=1110)], DEADLINE_S)
    limits.apply([order(board, 400.0)], DEADLINE_S)
    assert (board.locked_mhz()[0, 0], board.writes()[0, 0]) == (0, 2)


def test_a_lock_that_was_lost_is_written_anew(board: Board, limits: Limits, clock: Clock) -> None:
    limits.apply([order(board, 300.0, clock_mhz=1110)], DEADLINE_S)
    board.gpus["clock"] = 0  # the driver was reloaded
    clock.now = 2.0
    limits.apply([order(board, 300.0, clock_mhz=1110)], DEADLINE_S)
    assert board.locked_mhz()[0, 0] == 1110


def test_an_old_order_is_not_begun(board: Board, limits: Limits, clock: Clock) -> None:
    clock.now = DEADLINE_S
    (outcome,) = limits.apply([order(board, 350.0, clock_mhz=1110)], DEADLINE_S)
    assert (outcome.written, outcome.late) == (False, True)
    assert board.writes().sum() == 0


@pytest.mark.parametrize("before", [380.0, 247.0, 150.0])
def test_an_order_overtaken_by_its_deadline_is_taken_back(
    board: Board, gpus: GpuSensors, before: float
) -> None:
    board.write_as_other(0, 0, watts=before)
    limits = Limits(gpus, clock=overtaken(before=1))
    (outcome,) = limits.apply([order(board, 390.0, clock_mhz=1110)], DEADLINE_S)
    assert (outcome.written, outcome.late) == (True, True)
    assert watts(board) == min(before, SAFE_WATTS)
    assert board.locked_mhz()[0, 0] == 0


def test_a_late_order_below_safe_is_left(board: Board, gpus: GpuSensors) -> None:
    Limits(gpus, clock=overtaken(before=1)).apply([order(board, 200.0)], DEADLINE_S)
    assert watts(board) == 200.0


@pytest.mark.parametrize(("current", "after"), [(400.0, 247.0), (247.0, 247.0), (120.0, 120.0)])
def test_a_step_down_is_the_lesser_of_current_and_safe(
    board: Board, limits: Limits, current: float, after: float
) -> None:
    board.write_as_other(0, 0, watts=current)
    (outcome,) = limits.step_down({board.uuids(0)[0]: SAFE_WATTS})
    assert watts(board) == after
    assert outcome.written == (current != after)


def test_a_step_down_goes_on_past_a_lost_gpu(board: Board, limits: Limits) -> None:
    board.lose(0, 0)
    outcomes = limits.step_down(dict.fromkeys(board.uuids(0), SAFE_WATTS))
    assert isinstance(outcomes[0].error, GpuLost)
    assert (board.enforced_watts()[0, 1:] == SAFE_WATTS).all()


def test_a_step_down_takes_back_a_rise_on_its_way(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "slow", ("node-00",), spec=GpuSpec(power_delay_s=3600.0))
    board.write_as_other(0, 0, watts=150.0)
    with joined(board.path):
        gpus = GpuSensors.open()
        limits = Limits(gpus, clock=Clock())
        limits.apply([order(board, 390.0)], DEADLINE_S)
        limits.step_down({board.uuids(0)[0]: SAFE_WATTS})
        gpus.close()
    assert board.requested_watts()[0, 0] == 150.0


def test_release_restores_what_was_found_before_the_first_write(board: Board, limits: Limits) -> None:
    board.write_as_other(0, 0, watts=333.0)
    limits.apply([order(board, 200.0, clock_mhz=1110)], DEADLINE_S)
    limits.apply([order(board, 250.0, clock_mhz=1305)], DEADLINE_S)
    assert limits.found[board.uuids(0)[0]] == OriginalLimit(watts=333.0)
    limits.restore(DEADLINE_S)
    assert (watts(board), board.locked_mhz()[0, 0]) == (333.0, 0)
    limits.forget(limits.found)
    assert limits.found == {}


def test_past_the_deadline_nothing_is_given_back_not_even_for_a_moment(
    board: Board, gpus: GpuSensors, limits: Limits
) -> None:
    limits.apply([order(board, 200.0)], DEADLINE_S)
    before = board.writes().sum()
    late = Limits(gpus, clock=lambda: DEADLINE_S, found=limits.found)
    assert all(outcome.late for outcome in late.restore(DEADLINE_S))
    assert board.writes().sum() == before


def test_a_successor_restores_what_its_forerunner_found(
    board: Board, gpus: GpuSensors, limits: Limits
) -> None:
    limits.apply([order(board, 200.0, clock_mhz=1110)], DEADLINE_S)
    successor = Limits(
        gpus, clock=Clock(), found={board.uuids(0)[0]: OriginalLimit(watts=380.0, clock_mhz=1305)}
    )
    successor.remember()
    successor.restore(DEADLINE_S)
    assert (watts(board), board.locked_mhz()[0, 0]) == (380.0, 1305)


def test_remembering_writes_nothing(board: Board, limits: Limits) -> None:
    assert limits.remember() == ()
    assert [found.watts for found in limits.found.values()] == [400.0] * 8
    assert board.writes().sum() == 0


def test_without_the_right_the_first_write_says_so(board: Board, limits: Limits) -> None:
    board.allow_writes(0, False)
    (outcome,) = limits.apply([order(board, 300.0)], DEADLINE_S)
    assert isinstance(outcome.error, NoPermission)
    assert "CAP_SYS_ADMIN" in str(outcome.error)
    assert watts(board) == 400.0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"watts": 99.0}, "watts"),
        ({"watts": 401.0}, "watts"),
        ({"watts": float("nan")}, "watts"),
        ({"watts": 300.0, "clock_mhz": 1411}, "clock_mhz"),
        ({"watts": 300.0, "clock_mhz": 209}, "clock_mhz"),
        ({"watts": 300.0, "safe_watts": float("nan")}, "safe_watts"),
    ],
)
def test_an_order_out_of_range_is_refused_unwritten(
    board: Board, limits: Limits, wrong: dict[str, float], field: str
) -> None:
    values = {"safe_watts": SAFE_WATTS, **wrong}
    (outcome,) = limits.apply([Order(uuid=board.uuids(0)[0], **values)], DEADLINE_S)  # type: ignore[arg-type]
    assert isinstance(outcome.error, OutOfRange)
    assert str(outcome.error).startswith(f"{field} of {board.uuids(0)[0]} is ")
    assert board.writes().sum() == 0


def test_an_order_for_a_foreign_gpu_is_refused(limits: Limits) -> None:
    (outcome,) = limits.apply([Order(uuid="GPU-elsewhere", watts=300.0, safe_watts=200.0)], DEADLINE_S)
    assert isinstance(outcome.error, GpuLost)


def test_one_failing_gpu_does_not_keep_the_others_from_their_orders(board: Board, limits: Limits) -> None:
    board.fail(0, 0, writes=999)
    outcomes = limits.apply([order(board, 300.0, gpu=0), order(board, 300.0, gpu=1)], DEADLINE_S)
    assert isinstance(outcomes[0].error, HardwareError)
    assert watts(board, 1) == 300.0
