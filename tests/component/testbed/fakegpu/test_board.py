"""The board as the plant sees it: all nodes in one array."""

from pathlib import Path

import numpy as np
import pytest

from testbed.fakegpu.board import Board, GpuSpec, boottime

NODES = tuple(f"node-{index:02d}" for index in range(52))


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", NODES)


def test_a_fresh_row_is_idle_and_unlimited(board: Board) -> None:
    assert board.node_names == NODES
    assert board.enforced_watts().shape == (52, 8)
    assert (board.enforced_watts() == 400.0).all()
    assert (board.locked_mhz() == 0).all()
    assert (board.writes() == 0).all()


def test_uuids_are_distinct_and_the_same_at_every_creation(board: Board, tmp_path: Path) -> None:
    again = Board.create(tmp_path / "again", NODES)
    uuids = [uuid for node in range(52) for uuid in board.uuids(node)]
    assert len(set(uuids)) == 416
    assert uuids == [uuid for node in range(52) for uuid in again.uuids(node)]


def test_two_who_open_a_board_see_the_same(board: Board) -> None:
    with Board.open(board.path) as other:
        other.set_sensors(watts=np.arange(416.0).reshape(52, 8), sm_mhz=1110)
        assert board.gpus["instant_mw"][51, 7] == 415_000
        assert (board.gpus["sm_mhz"] == 1110).all()


def test_limits_in_force_follow_the_time_asked_for(board: Board) -> None:
    now = boottime()
    board.gpus["power"][3, 4, 1] = (400_000, 250_000, int((now + 10.0) * 1e9))
    board.gpus["power_index"][3, 4] = 1
    assert board.requested_watts()[3, 4] == 250.0
    assert board.enforced_watts(now)[3, 4] == 400.0
    assert board.enforced_watts(now + 11.0)[3, 4] == 250.0
    assert (board.enforced_watts(now + 11.0) < 400.0).sum() == 1


def test_energy_goes_on_by_itself_until_it_is_published(board: Board) -> None:
    board.set_sensors(watts=100.0)
    first = board.gpus["energy_at_ns"].copy()
    board.set_sensors(watts=200.0)
    assert (board.gpus["energy_at_ns"] > first).all()
    board.set_sensors(watts=200.0, energy_mj=77)
    assert (board.gpus["energy_at_ns"] == 0).all()
    assert (board.gpus["energy_mj"] == 77).all()


def test_a_file_that_is_no_board_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 4096)
    with pytest.raises(ValueError, match="is not a board of version 1"):
        Board.open(tmp_path / "noise")


def test_a_board_takes_other_models(tmp_path: Path) -> None:
    board = Board.create(
        tmp_path / "h", ["a"], gpus_per_node=4, spec=GpuSpec(max_watts=700.0, default_watts=700.0)
    )
    assert board.enforced_watts().tolist() == [[700.0] * 4]
