"""What is read of GPUs at open and once a minute: odd answers of one are its own, and end nothing."""

from typing import Any

import pynvml  # type: ignore[import-untyped]
import pytest

from loadline_agent.hardware import nvml
from loadline_agent.hardware.driver_watches import COUNT_EVERY_S
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.slow_readings import READ_EVERY_S, SlowReadings
from loadline_api.node_capacities import PersistenceMode
from testbed.clocks import Clock
from testbed.doubles.gpu_nodes import opened
from testbed.fakegpu.board import Board
from testbed.fakegpu.joining import joined

ODD = 3
OTHERS = [index for index in range(8) if index != ODD]
ON, OFF, UNKNOWN = PersistenceMode.ON, PersistenceMode.OFF, PersistenceMode.UNKNOWN


def modes(node_gpus: NodeGpus) -> list[PersistenceMode]:
    return [info.slow.persistence for info in node_gpus.infos]


def module(node_gpus: NodeGpus, index: int = ODD) -> tuple[float | None, float | None]:
    slow = node_gpus.infos[index].slow
    return slow.module_limit_watts, slow.module_watts


def turns(node_gpus: NodeGpus, clock: Clock, seconds: float) -> None:
    """What the thread of the GPUs does for so long."""
    end_s = clock.now + seconds
    while clock.now < end_s:
        clock.now += SAMPLE_EVERY_S
        node_gpus.fix()
        node_gpus.sample()


def all_read(node_gpus: NodeGpus) -> bool:
    node_gpus.sample()
    return [gpu.watts for gpu in node_gpus.state().gpus] == [200.0] * 8


@pytest.mark.parametrize(
    ("told", "mode"), [(1, ON), (0, OFF), (2, UNKNOWN), (0x7FFFFFFF, UNKNOWN), (0xFFFFFFFF, UNKNOWN)]
)
def test_a_mode_that_is_neither_on_nor_off_is_unknown(
    board: Board, clock: Clock, told: int, mode: PersistenceMode
) -> None:
    board.tell_persistence(0, ODD, mode=told)
    with opened(board, clock) as node_gpus:
        assert modes(node_gpus)[ODD] is mode
        assert [modes(node_gpus)[index] for index in OTHERS] == [ON] * 7
        assert all_read(node_gpus)


@pytest.mark.parametrize("code", [*range(1, 30), 999, 0x7FFFFFFF])
def test_a_mode_that_is_not_told_is_unknown_whatever_the_error(board: Board, clock: Clock, code: int) -> None:
    board.tell_persistence(0, ODD, mode=0, error=code)
    with opened(board, clock) as node_gpus:
        assert modes(node_gpus) == [UNKNOWN if index == ODD else ON for index in range(8)]
        assert all_read(node_gpus), "it is a GPU like the others"


def test_a_library_without_the_call_leaves_it_unknown(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetPersistenceMode", lacking)
    with opened(board, clock) as node_gpus:
        assert modes(node_gpus) == [UNKNOWN] * 8
        assert all_read(node_gpus)


def test_a_library_without_field_values_ends_nothing(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AttributeError ended the process."""

    class Older:
        def __init__(self, library: Any) -> None:
            self._library = library

        def __getitem__(self, name: str) -> Any:
            if name == "nvmlDeviceGetFieldValues":
                raise AttributeError(name)
            return self._library[name]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._library, name)

    with joined(board.path):
        pynvml.nvmlInit()
        monkeypatch.setattr(pynvml, "nvmlLib", Older(pynvml.nvmlLib))
        pynvml.nvmlShutdown()
    with opened(board, clock) as node_gpus:
        assert len(node_gpus.infos) == 8
        assert module(node_gpus) == (None, None)
        node_gpus.sample()
        faults = [gpu.fault for gpu in node_gpus.state().gpus]
        assert {fault.word for fault in faults if fault is not None} == {"SensorMissing"}


def test_a_gpu_that_is_lost_before_its_mode_is_read_takes_no_other_with_it(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = nvml.Device.persistence

    def losing(device: nvml.Device) -> int:
        if device.uuid == board.uuids(0)[ODD]:
            board.lose(0, ODD)
        return ask(device)

    monkeypatch.setattr(nvml.Device, "persistence", losing)
    with opened(board, clock) as node_gpus:
        assert modes(node_gpus) == [UNKNOWN if index == ODD else ON for index in range(8)]
        node_gpus.sample()
        assert [gpu.ok for gpu in node_gpus.state().gpus] == [index != ODD for index in range(8)]


def test_a_mode_that_changes_is_known_a_minute_later(board: Board, clock: Clock) -> None:
    with opened(board, clock) as node_gpus:
        for gpu in range(8):
            board.tell_persistence(0, gpu, mode=0)
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert modes(node_gpus) == [OFF] * 8
        board.lose(0, ODD)
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert modes(node_gpus) == [UNKNOWN if index == ODD else OFF for index in range(8)]


def test_a_driver_that_is_loaded_anew_is_asked_anew(board: Board, clock: Clock) -> None:
    with opened(board, clock) as node_gpus:
        for gpu in range(8):
            board.tell_persistence(0, gpu, mode=0)
            board.tell_module(0, gpu, watts=600.0, limit_watts=1000.0)
        node_gpus._gpus.reopen()
        assert modes(node_gpus) == [OFF] * 8
        assert module(node_gpus) == (1000.0, 600.0)


def test_no_sample_asks_for_it(board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    ask = nvml.Device.persistence

    def counted(device: nvml.Device) -> int:
        calls.append(device.uuid)
        return ask(device)

    with opened(board, clock) as node_gpus:
        monkeypatch.setattr(nvml.Device, "persistence", counted)
        turns(node_gpus, clock, READ_EVERY_S - COUNT_EVERY_S)
        assert calls == []
        turns(node_gpus, clock, 4 * READ_EVERY_S)
        assert len(calls) == 8 * 4


def test_a_board_without_a_module_tells_none_and_is_not_asked_again(board: Board, clock: Clock) -> None:
    with opened(board, clock) as node_gpus:
        board.tell_module(0, ODD, watts=600.0, limit_watts=1000.0)
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert module(node_gpus) == (None, None)


def test_a_modules_limit_and_draw_are_read_beside_the_gpus_own(board: Board, clock: Clock) -> None:
    board.tell_module(0, ODD, watts=650.5, limit_watts=1000.0)
    with opened(board, clock) as node_gpus:
        assert module(node_gpus) == (1000.0, 650.5)
        assert [node_gpus.infos[index].slow for index in OTHERS] == [SlowReadings(ON)] * 7
        assert all_read(node_gpus), "the GPU's own watts are what counts"
        assert node_gpus.held[board.uuids(0)[ODD]].enforced_watts == 400.0
        board.tell_module(0, ODD, watts=700.0, limit_watts=900.0)
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert module(node_gpus) == (900.0, 700.0)
        board.lose(0, ODD)
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert module(node_gpus) == (None, None)


@pytest.mark.parametrize("code", [*range(1, 30), 999])
def test_a_driver_that_fails_where_a_module_is_asked_for_has_none(
    board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    found = nvml._field_values

    def failing() -> Any:
        call = found()
        return lambda handle, count, rows: (
            code if rows[0].scopeId == nvml.OF_MODULE else call(handle, count, rows)
        )

    monkeypatch.setattr(nvml, "_field_values", failing)
    board.tell_module(0, ODD, watts=600.0, limit_watts=1000.0)
    with opened(board, clock) as node_gpus:
        assert [info.slow for info in node_gpus.infos] == [SlowReadings(ON)] * 8
        assert all_read(node_gpus)


MOST_WATTS = (2**32 - 1) / 1000.0


@pytest.mark.parametrize(
    ("watts", "limit_watts", "told"),
    [
        (1300.0, 1000.0, (1000.0, 1300.0)),
        (1301.0, 1000.0, (1000.0, None)),
        (0.0, 1000.0, (1000.0, None)),
        (MOST_WATTS, 1000.0, (1000.0, None)),
        (600.0, 0.0, (None, 600.0)),
        (600.0, 50.0, (None, 600.0)),
        (600.0, 10_001.0, (None, 600.0)),
        (600.0, MOST_WATTS, (None, 600.0)),
        (10_001.0, MOST_WATTS, (None, None)),
        (0.0, 0.0, (None, None)),
    ],
)
def test_a_modules_watts_that_cannot_be_are_no_reading(
    board: Board, clock: Clock, watts: float, limit_watts: float, told: tuple[float | None, float | None]
) -> None:
    board.tell_module(0, ODD, watts=watts, limit_watts=limit_watts)
    with opened(board, clock) as node_gpus:
        assert module(node_gpus) == told
        assert all_read(node_gpus)


def test_nothing_is_ever_set_on_a_module(board: Board, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("set in the module's scope")

    monkeypatch.setattr(pynvml, "nvmlDeviceSetPowerManagementLimit_v2", refused)
    board.tell_module(0, ODD, watts=600.0, limit_watts=1000.0)
    with opened(board, clock) as node_gpus:
        turns(node_gpus, clock, READ_EVERY_S + COUNT_EVERY_S)
        assert board.writes().sum() == 0
        assert board.gpus["module_limit_mw"][0, ODD] == 1_000_000
