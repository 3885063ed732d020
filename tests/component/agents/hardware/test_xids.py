"""XIDs: the last of each GPU is known within seconds; no GPU that can't be listened to is worse for it."""

from types import SimpleNamespace
from typing import Any

import pynvml  # type: ignore[import-untyped]
import pytest

from loadline_agent.hardware.driver_watches import BLIND_AFTER_S, COUNT_EVERY_S, RELOAD_EVERY_S
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_agent.hardware.node_gpus import NodeGpus
from testbed.clocks import Clock
from testbed.doubles.gpu_nodes import opened
from testbed.fakegpu.board import Board
from testbed.fakegpu.layouts import LACKS_EVENTS

ODD = 3
APPLICATION, OFF_THE_BUS = 31, 79


def turns(node_gpus: NodeGpus, clock: Clock, seconds: float) -> None:
    """What the thread of the GPUs does for so long."""
    end_s = clock.now + seconds
    while clock.now < end_s:
        clock.now += SAMPLE_EVERY_S
        node_gpus.fix()
        node_gpus.sample()


def read(node_gpus: NodeGpus) -> int:
    """How many GPUs are read and believed."""
    node_gpus.sample()
    return sum(gpu.ok for gpu in node_gpus.state().gpus)


def test_the_last_xid_of_a_gpu_is_known_within_seconds(board: Board, clock: Clock) -> None:
    with opened(board, clock) as node_gpus:
        assert node_gpus.xids == {}
        board.tell_xid(0, ODD, xid=APPLICATION)
        turns(node_gpus, clock, COUNT_EVERY_S)
        assert node_gpus.xids == {board.uuids(0)[ODD]: APPLICATION}
        assert read(node_gpus) == 8, "an XID alone is no fault"
        board.tell_xid(0, ODD, xid=OFF_THE_BUS)
        board.lose(0, ODD)
        turns(node_gpus, clock, COUNT_EVERY_S)
        assert node_gpus.xids == {board.uuids(0)[ODD]: OFF_THE_BUS}
        assert read(node_gpus) == 7


def test_an_xid_outlives_the_driver_that_told_it(board: Board, clock: Clock) -> None:
    with opened(board, clock) as node_gpus:
        turns(node_gpus, clock, RELOAD_EVERY_S)
        for gpu in range(8):
            board.tell_xid(0, gpu, xid=OFF_THE_BUS)
            board.lose(0, gpu)
        turns(node_gpus, clock, BLIND_AFTER_S + RELOAD_EVERY_S)
        assert node_gpus.infos == ()
        assert node_gpus.xids == dict.fromkeys(board.uuids(0), OFF_THE_BUS)


def test_a_gpu_that_cannot_be_listened_to_is_read_and_tells_none(board: Board, clock: Clock) -> None:
    board.lack(0, ODD, what=LACKS_EVENTS)
    with opened(board, clock) as node_gpus:
        for gpu in range(8):
            board.tell_xid(0, gpu, xid=APPLICATION)
        turns(node_gpus, clock, COUNT_EVERY_S)
        assert len(node_gpus.xids) == 7
        assert read(node_gpus) == 8


@pytest.mark.parametrize("code", [1, 2, 3, 4, 13, 15, 999])
@pytest.mark.parametrize(
    "call", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2", "nvmlEventSetFree"]
)
def test_no_error_of_these_calls_ends_anything(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def failing(*_: object) -> None:
        raise pynvml.NVMLError(code)

    monkeypatch.setattr(pynvml, call, failing)
    with opened(board, clock) as node_gpus:
        board.tell_xid(0, ODD, xid=APPLICATION)
        turns(node_gpus, clock, COUNT_EVERY_S)
        node_gpus._gpus.reopen()
        assert read(node_gpus) == 8


@pytest.mark.parametrize("xid", [0, 10_000, 2**32 - 1])
def test_an_xid_that_cannot_be_is_none(board: Board, clock: Clock, xid: int) -> None:
    with opened(board, clock) as node_gpus:
        board.tell_xid(0, ODD, xid=xid)
        turns(node_gpus, clock, COUNT_EVERY_S)
        assert node_gpus.xids == {}


def test_a_gpu_that_tells_events_without_end_keeps_no_thread(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: object) -> Any:
        return SimpleNamespace(eventType=pynvml.nvmlEventTypeXidCriticalError, eventData=APPLICATION)

    with opened(board, clock) as node_gpus:
        monkeypatch.setattr(pynvml, "nvmlEventSetWait_v2", endless)
        turns(node_gpus, clock, COUNT_EVERY_S)
        assert node_gpus.xids == dict.fromkeys(board.uuids(0), APPLICATION)


def test_each_set_of_events_is_freed_before_the_driver_is_closed(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node whose GPUs are blind loads NVML anew every ten seconds, for days."""
    made, freed = [], []
    create, free = pynvml.nvmlEventSetCreate, pynvml.nvmlEventSetFree

    def creating() -> Any:
        made.append(create())
        return made[-1]

    def freeing(events: Any) -> None:
        freed.append(events)
        free(events)

    monkeypatch.setattr(pynvml, "nvmlEventSetCreate", creating)
    monkeypatch.setattr(pynvml, "nvmlEventSetFree", freeing)
    board.lack(0, ODD, what=LACKS_EVENTS)
    with opened(board, clock) as node_gpus:
        for _ in range(5):
            node_gpus._gpus.reopen()
        assert len(made) == 6 * 8
        assert len(freed) == len(made) - 7, "all but those that are open"
