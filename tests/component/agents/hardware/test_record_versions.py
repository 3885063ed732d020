"""
An armed record of another version, found by an agent or a guard that starts on a node at its peak.

`tests/golden/record-1` is what form 1 wrote first. Nobody may raise a limit by it, disarm the node, or
forget what its owner had set, whoever follows whom: an upgrade, or a downgrade.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import FILE, ArmedRecordFile, Unreadable
from loadline_agent.hardware.guard import Driver, Guard
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.power.protocol.messages import GpuLimit
from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined
from testbed.other_versions import SLOT, lengthen, reform

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
GOLDEN = Path(__file__).parents[3] / "golden" / "record-1" / "limits.record.hex"
SAFE_WATTS, PEAK_WATTS, FOUND_WATTS, DEADLINE_S = 247.0, 360.0, (400.0, *[380.0] * 7), 1000.0


def as_it_is(file: Path) -> None:
    """The record of the version before."""


@pytest.fixture
def clock() -> Clock:
    return Clock(DEADLINE_S - 3.0)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A node whose GPUs are all at a limit between the safe and the original one."""
    board = Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))
    for gpu in range(8):
        board.write_as_other(0, gpu, watts=PEAK_WATTS)
    with joined(board.path):
        yield board


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / FILE
    file.write_bytes(bytes(SLOT) + bytes.fromhex(GOLDEN.read_text()))
    return file


def watts(board: Board) -> list[float]:
    return [float(value) for value in board.enforced_watts()[0]]


@pytest.fixture
def agent(board: Board, file: Path, clock: Clock) -> Iterator[Callable[[], NodeGpus]]:
    """Start one on the record as it is then."""
    gpus = GpuSensors.open()
    yield lambda: NodeGpus(gpus, ArmedRecordFile(str(file.parent), BOOT), boot=BOOT, clock=clock)
    gpus.close()


@pytest.fixture
def guard(board: Board, file: Path, clock: Clock) -> Iterator[Guard]:
    driver = Driver()
    yield Guard(ArmedRecordFile(str(file.parent), BOOT), driver, clock=clock, boot=BOOT)
    driver.forget()


@pytest.mark.parametrize("written", [as_it_is, lengthen], ids=["by the version before", "by a later one"])
def test_an_agent_takes_up_the_record_and_raises_nothing(
    board: Board,
    file: Path,
    clock: Clock,
    agent: Callable[[], NodeGpus],
    written: Callable[[Path], None],
) -> None:
    written(file)
    found = agent()
    state = found.state()
    assert (state.armed, state.domain, state.plan_version, state.deadline_s) == (True, "row-a", 7, DEADLINE_S)
    assert [gpu.safe_watts for gpu in state.gpus] == [SAFE_WATTS] * 8
    assert watts(board) == [PEAK_WATTS] * 8
    clock.now = DEADLINE_S
    found.step_down()
    assert watts(board) == [SAFE_WATTS] * 8
    found.restore(DEADLINE_S + 60.0)
    assert watts(board) == list(FOUND_WATTS), "what its owner had set, as the other version found it"


@pytest.mark.parametrize("written", [as_it_is, lengthen], ids=["by the version before", "by a later one"])
def test_what_an_agent_writes_then_is_read_by_the_other_versions_guard(
    board: Board,
    file: Path,
    clock: Clock,
    agent: Callable[[], NodeGpus],
    guard: Guard,
    written: Callable[[Path], None],
) -> None:
    """Agent and guard of a pod don't start at one moment; each goes by what the other has written."""
    written(file)
    guard.look()
    assert watts(board) == [PEAK_WATTS] * 8
    limits = tuple(GpuLimit(uuid=uuid, watts=PEAK_WATTS, safe_watts=SAFE_WATTS) for uuid in board.uuids(0))
    agent().enforce(limits, 8, deadline_s=DEADLINE_S + 4.0, domain="row-a")
    clock.now = DEADLINE_S + 1.0
    guard.look()
    assert watts(board) == [PEAK_WATTS] * 8, "the guard has seen the new deadline"
    clock.now = DEADLINE_S + 5.0
    guard.look()
    assert watts(board) == [SAFE_WATTS] * 8


def test_a_record_in_another_form_lets_nobody_begin(
    board: Board, file: Path, agent: Callable[[], NodeGpus], guard: Guard
) -> None:
    reform(file)
    with pytest.raises(Unreadable):
        agent()
    guard.look()
    said = ArmedRecordFile(str(file.parent), BOOT).read_report()
    assert said is not None
    assert armed_records.STATES[said.state] == "blind"
    assert watts(board) == [PEAK_WATTS] * 8


def test_a_guard_that_knew_an_earlier_form_steps_down_at_once(board: Board, file: Path, guard: Guard) -> None:
    guard.look()
    reform(file)
    guard.look()
    assert watts(board) == [SAFE_WATTS] * 8


def test_the_agents_process_says_so_and_ends(file: Path) -> None:
    reform(file)
    command = [sys.executable, "-m", "loadline_agent.main", "run", "--node", "node-00", "--state-dir"]
    done = subprocess.run([*command, str(file.parent)], text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert "has the format of another version; run the version that wrote it" in done.stderr
    assert "Traceback" not in done.stderr
