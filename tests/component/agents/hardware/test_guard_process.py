"""The guard as a process: beside an agent that is stopped, at its end, and on a wrong command line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadline_agent.boot_clock import boottime
from loadline_agent.hardware import armed_records, guard
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GpuRecord
from testbed.fakegpu import build
from testbed.fakegpu.board import Board, GpuSpec

SAFE_WATTS = 247.0
PATIENCE_S = 20.0

WRITER = """
import sys, time
from loadline_agent.boot_clock import boottime
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GpuRecord, boot_id
state, uuids = ArmedRecordFile(sys.argv[1], boot_id()), sys.argv[2:]
gpus = tuple(GpuRecord(uuid, 247.0) for uuid in uuids)
while True:
    state.write(ArmedRecord(boot_id(), armed=True, deadline_s=boottime() + 1.0, gpus=gpus))
    time.sleep(0.05)
"""


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0))


def watts(board: Board) -> list[float]:
    return [float(value) for value in board.enforced_watts()[0]]


def doing(state: ArmedRecordFile) -> str | None:
    said = state.read_report()
    return armed_records.STATES[said.state] if said is not None else None


def until(holds: Callable[[], bool]) -> None:
    end_s = boottime() + PATIENCE_S
    while not holds():
        assert boottime() < end_s, "waited in vain"
        time.sleep(0.01)


def guard_process(board: Board, directory: Path) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "loadline_agent.hardware.guard", "--state", str(directory))
    return subprocess.Popen(command, env={**os.environ, **build.environment(board.path, 0)})


def writer_process(board: Board, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen((sys.executable, "-c", WRITER, str(directory), *board.uuids(0)))


@contextmanager
def running(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_stopped_agent_is_stood_in_for_and_a_resumed_one_obeyed(board: Board, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    armed_records.prepare(str(directory))
    state = ArmedRecordFile(str(directory), armed_records.boot_id())
    writer, process = writer_process(board, directory), guard_process(board, directory)
    with running(writer, process):
        until(lambda: doing(state) == "watching")
        assert board.writes().sum() == 0
        writer.send_signal(signal.SIGSTOP)
        until(lambda: watts(board) == [SAFE_WATTS] * 8)
        board.write_as_other(0, 0, watts=400.0)
        until(lambda: watts(board) == [SAFE_WATTS] * 8)
        writer.send_signal(signal.SIGCONT)
        until(lambda: doing(state) == "watching")
        said = state.read_report()
        assert said is not None
        assert said.interventions == 9


def test_a_guard_that_is_ended_while_armed_leaves_the_node_safe(board: Board, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    armed_records.prepare(str(directory))
    boot = armed_records.boot_id()
    state = ArmedRecordFile(str(directory), boot)
    gpus = tuple(GpuRecord(uuid, SAFE_WATTS) for uuid in board.uuids(0))
    state.write(ArmedRecord(boot, armed=True, deadline_s=boottime() + 1000.0, gpus=gpus))
    process = guard_process(board, directory)
    with running(process):
        until(lambda: state.read_report() is not None)
        assert board.writes().sum() == 0
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert watts(board) == [SAFE_WATTS] * 8


@pytest.mark.parametrize("argv", [[], ["--state"], ["--watch", "x"], ["--state", "a", "b"]])
def test_a_wrong_command_line_is_explained(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.main(argv) == 2
    assert capsys.readouterr().err == "usage: loadline-agent guard --state DIR\n"


def test_a_foreign_state_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert guard.main(["--state", str(tmp_path / "link")]) == 1
    assert "name a real directory" in capsys.readouterr().err
