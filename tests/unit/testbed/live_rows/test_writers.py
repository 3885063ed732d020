"""Who may raise a limit, by the process id that the driver noted: an agent under its lease alone."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from loadline_agent.hardware.armed_records import ArmedRecord
from testbed.fakegpu.board import Board, boottime
from testbed.live_rows.rows import Row
from testbed.live_rows.writers import Writers

AGENT, GUARD, STRANGER, NOBODY = 11, 12, 13, 14
NODE = "node-0"


@pytest.fixture
def row(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """As much of a row as tells writers apart; its lease has four seconds left."""
    with Board.create(tmp_path / "board", (NODE,)) as board:
        member = SimpleNamespace(agent=SimpleNamespace(pid=AGENT), guard=SimpleNamespace(pid=GUARD))
        made = SimpleNamespace(
            nodes=(NODE,),
            board=board,
            plant=SimpleNamespace(hooks=[]),
            members={NODE: member},
            strangers={NODE: STRANGER},
            began_s=boottime(),
            lease_left_s=4.0,
        )
        made.record = lambda node: ArmedRecord("boot", armed=True, deadline_s=boottime() + made.lease_left_s)
        board.write_as_other(0, 0, watts=300.0)
        yield made
        del made.board


def moved(row: SimpleNamespace, writer: int, watts: float) -> Writers:
    """What is seen when a process sets a GPU that was at 300 W."""
    writers = Writers(cast(Row, row))
    row.board.write_as_other(0, 0, watts=watts)
    row.board.gpus["last_writer_pid"][0, 0] = writer
    writers.look()
    return writers


def test_an_agent_may_raise_under_its_lease(row: SimpleNamespace) -> None:
    assert not moved(row, AGENT, 400.0).rises


def test_an_agent_may_not_raise_past_its_deadline(row: SimpleNamespace) -> None:
    row.lease_left_s = -1.0
    (rise,) = moved(row, AGENT, 400.0).rises
    assert "by 100 W by its agent, 1.0 s too late" in rise


@pytest.mark.parametrize("writer", [GUARD, NOBODY])
def test_nobody_else_may_raise(row: SimpleNamespace, writer: int) -> None:
    assert len(moved(row, writer, 400.0).rises) == 1


def test_anybody_may_lower(row: SimpleNamespace) -> None:
    assert not moved(row, GUARD, 200.0).rises


def forgotten(row: SimpleNamespace) -> Writers:
    """What is seen when the driver is loaded anew under a GPU that was at 300 W."""
    writers = Writers(cast(Row, row))
    row.board.gpus["last_writer_pid"][0, 0] = AGENT
    row.board.gpus["last_write_ns"][0, 0] = int(boottime() * 1e9)
    row.board.unload_driver(0)
    writers.look()
    return writers


def test_a_driver_that_forgets_a_limit_raises_it_and_nobody_else_does(row: SimpleNamespace) -> None:
    row.lease_left_s = -1.0
    writers = forgotten(row)
    assert len(writers.forgotten_s[NODE]) == 1
    assert not writers.rises


def test_a_rise_after_the_driver_was_loaded_anew_is_somebodys(row: SimpleNamespace) -> None:
    writers = forgotten(row)
    row.board.load_driver(0)
    for watts in (250.0, 400.0):
        row.board.write_as_other(0, 0, watts=watts)
        row.board.gpus["last_writer_pid"][0, 0] = GUARD
        row.board.gpus["last_write_ns"][0, 0] = int(boottime() * 1e9)
        writers.look()
    assert len(writers.forgotten_s[NODE]) == 1
    (rise,) = writers.rises
    assert "raised by 150 W by its guard" in rise


def test_a_strangers_writes_are_counted(row: SimpleNamespace) -> None:
    writers = moved(row, STRANGER, 400.0)
    assert len(writers.foreign_s[NODE]) == 1
    assert not writers.rises
