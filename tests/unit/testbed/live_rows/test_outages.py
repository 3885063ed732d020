"""Faults of GPUs as the judge knows them: what begins, what ends, and what the board answers meanwhile."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.fakegpu.board import Board, boottime
from testbed.live_rows.outages import COUNTED_AFTER_S, DRIVERLESS, IMPLAUSIBLE, Outages

NODES = ("node-0", "node-1")


class Heard:
    """How often something was told to have changed."""

    times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Board.create(tmp_path / "board", NODES) as board:
        yield board


@pytest.fixture
def outages(board: Board, heard: Heard) -> Outages:
    return Outages(board, heard)


def test_a_fault_is_known_with_its_gpu_and_its_beginning(
    outages: Outages, board: Board, heard: Heard
) -> None:
    outages.silence("node-1", 3, error=999)
    (one,) = outages.known
    assert (one.node, one.index, one.gpu, one.uuid) == ("node-1", 1, 3, board.uuids(1)[3])
    assert one.lasts(boottime())
    assert one.stays
    assert board.gpus["read_error"][1, 3] == 999
    assert heard.times == 1


def test_gpus_heal_and_drivers_do_not(outages: Outages, board: Board) -> None:
    outages.silence("node-0", 0, error=999)
    outages.lose("node-0", 1)
    outages.garble("node-0", 2, watts=4000.0)
    outages.unload_driver("node-1")
    outages.heal()
    assert [one.until_s < math.inf for one in outages.known] == [True] * 3 + [False] * 8
    assert not board.gpus["faults"].any()
    assert not board.gpus["read_error"].any()


def test_a_driver_takes_all_gpus_of_its_node_and_gives_them_back(outages: Outages, board: Board) -> None:
    outages.unload_driver("node-1")
    assert {(one.node, one.kind) for one in outages.known} == {("node-1", DRIVERLESS)}
    assert board.nodes["unloaded"].tolist() == [0, 1]
    outages.load_driver("node-1")
    now = boottime()
    assert not any(one.lasts(now) or one.stays for one in outages.known)
    assert all(one.may_be_told(now) for one in outages.known)
    assert board.nodes["unloaded"].tolist() == [0, 0]


def test_a_silent_gpu_is_news_until_it_can_count_at_its_maximum(outages: Outages) -> None:
    outages.silence("node-0", 0, error=999)
    outages.garble("node-0", 1, watts=4000.0)
    silent, odd = outages.known
    assert silent.is_news(silent.from_s + COUNTED_AFTER_S - 0.1)
    assert not silent.is_news(silent.from_s + COUNTED_AFTER_S + 0.1)
    assert not odd.is_news(odd.from_s)
    assert odd.kind is IMPLAUSIBLE
    assert not odd.stays, "its limit can be lowered"
