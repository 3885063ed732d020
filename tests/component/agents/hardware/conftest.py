"""A node's board of GPUs that take what they are told at once, and a clock."""

from pathlib import Path

import pytest

from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board.create(tmp_path / "board", ("node-00",), spec=GpuSpec(power_delay_s=0.0, clock_delay_s=0.0))
    board.set_sensors(watts=200.0)
    return board
