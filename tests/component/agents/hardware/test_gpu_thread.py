"""The one thread at the GPUs keeps the deadline, again and again if need be, and never dies unnoticed."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from loadline_agent.hardware import gpu_thread
from loadline_agent.hardware.armed_records import ArmedRecordFile
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S, GpuThread
from loadline_agent.hardware.limits import Outcome
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.power.protocol.messages import GpuLimit
from loadline_policies.power.safety.safe_states import Timings
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"


class Heard:
    """What the event loop is told."""

    def __init__(self) -> None:
        self.stepped: list[Done] = []
        self.failed: list[Exception] = []


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))


@pytest.fixture
def node_gpus(board: Board, tmp_path: Path) -> Iterator[NodeGpus]:
    with joined(board.path):
        state = ArmedRecordFile(str(tmp_path), BOOT)
        made = NodeGpus(GpuSensors.open(), state, boot=BOOT, clock=time.monotonic)
        yield made
        made.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def thread(node_gpus: NodeGpus, heard: Heard) -> AsyncIterator[GpuThread]:
    made = GpuThread(
        node_gpus,
        time.monotonic,
        is_news=lambda state, now: False,
        alarm=lambda: None,
        stepped=lambda done, why: heard.stepped.append(done),
        failed=heard.failed.append,
    )
    made.start()
    yield made
    await made.close()


async def until(holds: object, limit_s: float = 5.0) -> None:
    assert callable(holds)
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


async def enforce(thread: GpuThread, node_gpus: NodeGpus, *, for_s: float) -> None:
    limits = tuple(GpuLimit(uuid=one.uuid, watts=one.max_watts, safe_watts=250.0) for one in node_gpus.infos)
    deadline_s = time.monotonic() + for_s
    await thread.do(lambda: node_gpus.enforce(limits, 1, deadline_s=deadline_s))


async def test_a_step_down_that_fails_is_tried_again_at_the_pace_of_samples(
    board: Board, node_gpus: NodeGpus, thread: GpuThread, heard: Heard
) -> None:
    await enforce(thread, node_gpus, for_s=0.05)
    board.lose(0, 1)
    tries = 0
    step_down = node_gpus.step_down

    def counted(uuids: Collection[str] | None = None) -> Done:
        nonlocal tries
        tries += 1
        return step_down(uuids)

    node_gpus.step_down = counted  # type: ignore[method-assign]
    await until(lambda: tries)
    began_s, before = time.monotonic(), tries
    await until(lambda: tries >= before + 3)
    assert time.monotonic() - began_s >= 2 * SAMPLE_EVERY_S
    assert len(heard.stepped) == 1, "the next tries aren't told one by one"
    board.heal(0, 1)
    await until(lambda: len(heard.stepped) == 2)
    last = heard.stepped[-1]
    assert (last.writes, last.errors, last.repeats) == (1, (), tries - 2)
    assert board.enforced_watts()[0].tolist() == [250.0] * 8
    settled = tries
    await asyncio.sleep(3 * SAMPLE_EVERY_S)
    assert tries == settled


async def test_one_that_failed_is_tried_again_on_the_gpus_that_may_be_too_high_and_on_no_others(
    board: Board, node_gpus: NodeGpus, thread: GpuThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enforce(thread, node_gpus, for_s=0.05)
    board.lose(0, 1)
    asked: list[set[str]] = []
    step_down = node_gpus._limits.step_down

    def noted(safe_watts: Mapping[str, float]) -> tuple[Outcome, ...]:
        asked.append(set(safe_watts))
        return step_down(safe_watts)

    monkeypatch.setattr(node_gpus._limits, "step_down", noted)
    await until(lambda: len(asked) >= 4)
    every, written, *later = asked
    assert every == written == set(board.uuids(0)), "seven were written, and are read once more"
    assert all(uuids == {board.uuids(0)[1]} for uuids in later)


async def test_a_gpu_that_comes_back_is_stepped_down_with_the_next_sample(
    board: Board, node_gpus: NodeGpus, thread: GpuThread
) -> None:
    """However long it was away: the protocol gives a step down half a second, and a sample comes in less."""
    await enforce(thread, node_gpus, for_s=0.05)
    board.lose(0, 1)
    await until(lambda: board.enforced_watts()[0].tolist().count(250.0) == 7)
    await asyncio.sleep(8 * SAMPLE_EVERY_S)
    began_s = time.monotonic()
    board.heal(0, 1)
    await until(lambda: board.enforced_watts()[0].tolist() == [250.0] * 8)
    assert time.monotonic() - began_s < Timings().actuation_s


async def test_all_are_stepped_down_at_another_deadline(
    board: Board, node_gpus: NodeGpus, thread: GpuThread
) -> None:
    await enforce(thread, node_gpus, for_s=0.05)
    board.lose(0, 1)
    await until(lambda: board.enforced_watts()[0].tolist().count(250.0) == 7)
    await enforce(thread, node_gpus, for_s=0.3)
    assert board.enforced_watts()[0].tolist().count(400.0) >= 7
    await until(lambda: board.enforced_watts()[0].tolist().count(250.0) == 7)


async def test_a_step_down_that_goes_on_failing_is_told_now_and_then_with_the_number_of_tries(
    board: Board,
    node_gpus: NodeGpus,
    thread: GpuThread,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other words each time, and a setter that says yes and does nothing, were an entry each time."""
    monkeypatch.setattr(gpu_thread, "SAMPLE_EVERY_S", 0.01)
    monkeypatch.setattr(gpu_thread, "TELL_EVERY_S", 0.5)
    await enforce(thread, node_gpus, for_s=0.05)
    device = node_gpus._gpus.device(board.uuids(0)[0])
    monkeypatch.setattr(device, "set_limit_mw", lambda limit_mw: None)
    codes = itertools.cycle((15, 999))
    step_down = node_gpus.step_down

    def failing(uuids: Collection[str] | None = None) -> Done:
        board.fail(0, 1, reads=next(codes))
        return step_down(uuids)

    node_gpus.step_down = failing  # type: ignore[method-assign]
    await until(lambda: len(heard.stepped) >= 3)
    first, *later = heard.stepped
    assert first.repeats == 0
    assert all(1 <= done.repeats <= 50 for done in later)
    assert all(done.writes == done.repeats + 1 for done in later)


async def test_an_agent_that_ends_steps_down_first_and_leaves_the_record_armed(
    board: Board, node_gpus: NodeGpus, thread: GpuThread
) -> None:
    await enforce(thread, node_gpus, for_s=60.0)
    done = await thread.close()
    assert done is not None
    assert (done.writes, done.errors) == (8, ())
    assert board.enforced_watts()[0].tolist() == [250.0] * 8
    assert node_gpus.record.armed, "the guard's, and the successor's"


async def test_an_error_that_nobody_foresaw_is_told_to_the_loop(
    node_gpus: NodeGpus, thread: GpuThread, heard: Heard
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a range of 0 to 0 W")

    node_gpus.sample = broken  # type: ignore[method-assign]
    await until(lambda: heard.failed)
    assert isinstance(heard.failed[0], ZeroDivisionError)


async def test_an_agent_that_ends_while_its_thread_is_dead_does_not_wait_for_it(
    node_gpus: NodeGpus, thread: GpuThread, heard: Heard
) -> None:
    await enforce(thread, node_gpus, for_s=60.0)

    def broken() -> None:
        raise ZeroDivisionError

    node_gpus.sample = broken  # type: ignore[method-assign]
    await until(lambda: heard.failed)
    assert await asyncio.wait_for(thread.close(), 1.0) is None, "the guard has the record"
