"""The fake NVML, asked by an unmodified pynvml: it answers, refuses and fails as the driver would."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]
import pytest

from testbed.fakegpu import build, layouts
from testbed.fakegpu.board import Board, GpuSpec, boottime
from testbed.fakegpu.joining import joined

NODES = ("node-00", "node-01", "node-02")
AT_ONCE = GpuSpec(power_delay_s=0.0, clock_delay_s=0.0)
NEVER_S = 3600.0


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", NODES, spec=AT_ONCE)


@pytest.fixture
def gpu(board: Board) -> Iterator[Any]:
    with joined(board.path, "node-01"):
        pynvml.nvmlInit()
        yield pynvml.nvmlDeviceGetHandleByIndex(2)
        pynvml.nvmlShutdown()


def field(handle: Any, number: int, scope: int = 0) -> int | None:
    value = pynvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])[0]
    return None if value.nvmlReturn else int(value.value.ullVal)


def code_of(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(pynvml.NVMLError) as caught:
        call(*arguments)
    return int(caught.value.value)


def test_structs_lie_where_the_library_says() -> None:
    assert build.offsets(build.preload()) == layouts.offsets()


def test_a_drifted_struct_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "offsets", lambda: {"header": 8})
    assert "header is 256, not 8" in build.differences(str(build.library()))


def test_a_fresh_process_sees_the_gpus_of_its_node(board: Board) -> None:
    code = (
        "import pynvml as p; p.nvmlInit(); n = p.nvmlDeviceGetCount();"
        "print(*(p.nvmlDeviceGetUUID(p.nvmlDeviceGetHandleByIndex(i)) for i in range(n)))"
    )
    child = build.environment(board.path, "node-02")
    said = subprocess.run([sys.executable, "-c", code], env=child, capture_output=True, text=True, check=True)
    assert tuple(said.stdout.split()) == board.uuids(2)


def test_a_container_sees_the_gpus_that_it_was_given(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    given = board.uuids(1)[5], board.uuids(1)[2]
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", ",".join(given))
    with joined(board.path, "node-01"):
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        assert [pynvml.nvmlDeviceGetUUID(h) for h in handles] == [board.uuids(1)[2], board.uuids(1)[5]]
        assert [pynvml.nvmlDeviceGetIndex(h) for h in handles] == [0, 1]
        hidden = board.uuids(1)[0].encode()
        assert code_of(pynvml.nvmlDeviceGetHandleByUUID, hidden) == pynvml.NVML_ERROR_NOT_FOUND
        assert code_of(pynvml.nvmlDeviceGetHandleByIndex, 2) == pynvml.NVML_ERROR_INVALID_ARGUMENT
        pynvml.nvmlShutdown()


def test_a_driver_that_is_loaded_anew_is_found_by_who_opens_nvml_anew(board: Board) -> None:
    """What was open answers UNKNOWN, as an NVML of before a reload does; limits are the driver's own."""
    with joined(board.path, "node-01"):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(2)
        pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 250_000)
        pynvml.nvmlDeviceSetGpuLockedClocks(gpu, 210, 1110)
        board.unload_driver(1)
        for loaded in (False, True):
            if loaded:
                board.load_driver(1)
            assert code_of(pynvml.nvmlDeviceGetPowerUsage, gpu) == pynvml.NVML_ERROR_UNKNOWN
            assert (
                code_of(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, 250_000) == pynvml.NVML_ERROR_UNKNOWN
            )
            assert code_of(pynvml.nvmlDeviceGetCount) == pynvml.NVML_ERROR_UNKNOWN
            assert code_of(pynvml.nvmlDeviceGetHandleByIndex, 2) == pynvml.NVML_ERROR_UNKNOWN
        pynvml.nvmlShutdown()
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(2)
        assert pynvml.nvmlDeviceGetPowerManagementLimit(gpu) == 400_000
        assert (board.locked_mhz() == 0).all()
        pynvml.nvmlShutdown()


def test_no_driver_is_found_while_it_is_unloaded(board: Board) -> None:
    board.unload_driver(1)
    with joined(board.path, "node-01"):
        assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    with joined(board.path, "node-02"):
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 8, "another node's is its own"
        pynvml.nvmlShutdown()


@pytest.mark.parametrize("word", ["all", "void", "0,1", ""])
def test_words_other_than_uuids_hide_no_gpu(board: Board, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", word)
    with joined(board.path, "node-01"):
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 8
        pynvml.nvmlShutdown()


@pytest.mark.parametrize("node", ["node-09", "3", ""])
def test_a_node_that_is_not_on_the_board_has_no_driver(board: Board, node: str) -> None:
    with joined(board.path, node):
        assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_a_file_that_is_no_board_has_no_driver(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 4096)
    with joined(tmp_path / "noise"):
        assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_identity_is_that_of_the_board(board: Board, gpu: Any) -> None:
    by_uuid = pynvml.nvmlDeviceGetHandleByUUID(board.uuids(1)[2])
    assert pynvml.nvmlDeviceGetIndex(by_uuid) == pynvml.nvmlDeviceGetIndex(gpu) == 2
    assert pynvml.nvmlDeviceGetName(gpu) == AT_ONCE.model
    assert pynvml.nvmlDeviceGetPciInfo(gpu).busId == "00000000:20:00.0"
    assert pynvml.nvmlSystemGetDriverVersion() == AT_ONCE.driver
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [0, 0]
    assert pynvml.nvmlDeviceGetComputeRunningProcesses(gpu) == []
    assert pynvml.nvmlDeviceGetPersistenceMode(gpu) == 1


def test_a_foreign_uuid_is_not_found(board: Board, gpu: Any) -> None:
    assert code_of(pynvml.nvmlDeviceGetHandleByUUID, board.uuids(0)[0]) == pynvml.NVML_ERROR_NOT_FOUND


def test_clocks_are_those_of_an_a100(gpu: Any) -> None:
    clocks = pynvml.nvmlDeviceGetSupportedGraphicsClocks(
        gpu, pynvml.nvmlDeviceGetSupportedMemoryClocks(gpu)[0]
    )
    assert (clocks[0], clocks[-1], len(clocks)) == (1410, 210, 81)


def test_a_limit_holds_after_its_delay(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "late", NODES, spec=GpuSpec(power_delay_s=NEVER_S))
    with joined(board.path, 0):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 250_000)
        assert (field(gpu, 192), field(gpu, 190)) == (250_000, 400_000)
        assert pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) == 400_000
        assert board.enforced_watts(boottime() + NEVER_S)[0, 0] == 250.0
        board.gpus["power"]["effective_ns"] = 0
        assert field(gpu, 190) == pynvml.nvmlDeviceGetPowerManagementLimit(gpu) == 250_000
        pynvml.nvmlShutdown()


def test_a_repeated_request_does_not_start_the_delay_anew(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "late", NODES, spec=GpuSpec(power_delay_s=NEVER_S))
    with joined(board.path, 0):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 250_000)
        due = board.gpus["power"]["effective_ns"][0, 0].copy()
        pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 250_000)
        assert (board.gpus["power"]["effective_ns"][0, 0] == due).all()
        pynvml.nvmlShutdown()


@pytest.mark.parametrize("milliwatts", [0, 99_999, 400_001])
def test_a_limit_out_of_range_is_refused(board: Board, gpu: Any, milliwatts: int) -> None:
    assert code_of(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, milliwatts) == 2
    assert board.enforced_watts()[1, 2] == 400.0


@pytest.mark.parametrize(("low", "high"), [(210, 1411), (209, 1110), (1110, 210)])
def test_clocks_out_of_range_are_refused(board: Board, gpu: Any, low: int, high: int) -> None:
    assert code_of(pynvml.nvmlDeviceSetGpuLockedClocks, gpu, low, high) == 2
    assert board.locked_mhz()[1, 2] == 0


def test_a_locked_clock_bounds_the_sm_clock_until_reset(board: Board, gpu: Any) -> None:
    pynvml.nvmlDeviceSetGpuLockedClocks(gpu, 210, 1110)
    assert pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM) == 1110 == board.locked_mhz()[1, 2]
    board.set_sensors(watts=80.0, sm_mhz=210)
    assert pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM) == 210
    board.set_sensors(watts=300.0, sm_mhz=1410)
    pynvml.nvmlDeviceResetGpuLockedClocks(gpu)
    assert pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM) == 1410


def test_without_privilege_nothing_is_set(board: Board, gpu: Any) -> None:
    board.allow_writes(1, False)
    assert code_of(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, 200_000) == 4
    assert code_of(pynvml.nvmlDeviceSetGpuLockedClocks, gpu, 210, 1110) == 4
    assert (board.enforced_watts() == 400.0).all()
    assert board.gpus["refused"][1, 2] == board.writes()[1, 2] == 2


def test_privilege_is_the_nodes_own(board: Board, gpu: Any) -> None:
    board.allow_writes(0, False)
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 200_000)
    assert board.enforced_watts()[1, 2] == 200.0


def test_setters_are_audited_and_getters_are_not(board: Board, gpu: Any) -> None:
    pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
    assert board.writes().sum() == 0
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 200_000)
    assert board.writes().sum() == board.writes()[1, 2] == 1
    assert board.gpus["last_writer_pid"][1, 2] > 0


def test_the_a100_lacks_the_averaged_field(gpu: Any) -> None:
    assert field(gpu, 185) is None
    assert field(gpu, 186) == pynvml.nvmlDeviceGetPowerUsage(gpu) == 63_000
    assert field(gpu, 186, scope=1) is None
    assert [field(gpu, number) for number in (187, 188, 189)] == [100_000, 400_000, 400_000]


def test_an_h100_averages_what_get_power_usage_says(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "h100", NODES, spec=GpuSpec(fields=layouts.H100_FIELDS))
    board.set_sensors(watts=600.0, average_watts=350.0)
    with joined(board.path, 0):
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        assert (field(gpu, 186), field(gpu, 185)) == (600_000, 350_000)
        assert pynvml.nvmlDeviceGetPowerUsage(gpu) == 350_000
        pynvml.nvmlShutdown()


def test_a_stuck_sensor_repeats_while_energy_goes_on(board: Board, gpu: Any) -> None:
    board.stick(1, 2)
    board.set_sensors(watts=380.0, energy_mj=5_000)
    assert field(gpu, 186) == 63_000
    assert field(gpu, 83) == pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) == 5_000
    board.heal(1, 2)
    assert field(gpu, 186) == 380_000


def test_a_lost_gpu_answers_nothing(board: Board, gpu: Any) -> None:
    board.lose(1, 2)
    lost = pynvml.NVML_ERROR_GPU_IS_LOST
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, gpu) == lost
    assert code_of(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, 200_000) == lost
    assert code_of(pynvml.nvmlDeviceGetHandleByIndex, 2) == lost


@pytest.mark.parametrize("code", [10, 17, 999])
def test_any_error_can_be_ordered_for_reads_and_writes_apart(board: Board, gpu: Any, code: int) -> None:
    board.fail(1, 2, reads=code)
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, gpu) == code
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 200_000)
    board.fail(1, 2, writes=code)
    assert code_of(pynvml.nvmlDeviceSetPowerManagementLimit, gpu, 300_000) == code
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) == 200_000


def test_a_slow_call_takes_as_long_as_ordered(board: Board, gpu: Any) -> None:
    board.slow(1, 2, seconds=0.05)
    began = boottime()
    pynvml.nvmlDeviceGetPowerUsage(gpu)
    assert boottime() - began >= 0.05


def test_the_tighter_of_host_and_bmc_is_enforced(board: Board, gpu: Any) -> None:
    board.limit_outband(1, 2, watts=180.0)
    assert (field(gpu, 190), field(gpu, 192)) == (180_000, 400_000)
    assert board.enforced_watts()[1, 2] == 180.0
    board.limit_outband(1, 2, watts=None)
    assert field(gpu, 190) == 400_000


@pytest.mark.parametrize("mode", [0, 1, 2, 0xFFFFFFFF])
def test_the_persistence_mode_is_told_as_ordered(board: Board, gpu: Any, mode: int) -> None:
    board.tell_persistence(1, 2, mode=mode)
    assert pynvml.nvmlDeviceGetPersistenceMode(gpu) == mode


@pytest.mark.parametrize("code", [3, 13, 15, 999])
def test_the_persistence_mode_alone_can_fail(board: Board, gpu: Any, code: int) -> None:
    board.tell_persistence(1, 2, error=code)
    assert code_of(pynvml.nvmlDeviceGetPersistenceMode, gpu) == code
    assert field(gpu, 186) is not None
    board.heal(1, 2)
    assert pynvml.nvmlDeviceGetPersistenceMode(gpu) == 1


def test_only_a_gpu_with_a_module_answers_in_its_scope(board: Board, gpu: Any) -> None:
    fields = (186, 190, 192)
    assert [field(gpu, number, pynvml.NVML_POWER_SCOPE_MODULE) for number in fields] == [None] * 3
    board.tell_module(1, 2, watts=600.0, limit_watts=1000.0)
    told = [field(gpu, number, pynvml.NVML_POWER_SCOPE_MODULE) for number in fields]
    assert told == [600_000, 1_000_000, 1_000_000]
    assert field(gpu, 83, pynvml.NVML_POWER_SCOPE_MODULE) is None
    assert field(gpu, 190) == 400_000, "its own scope is as it was"
    assert field(gpu, 186, pynvml.NVML_POWER_SCOPE_MEMORY) is None


def test_an_xid_reaches_each_set_of_events_once(board: Board, gpu: Any) -> None:
    kind = pynvml.nvmlEventTypeXidCriticalError
    first, second = pynvml.nvmlEventSetCreate(), pynvml.nvmlEventSetCreate()
    board.tell_xid(1, 2, xid=31)
    for events in (first, second):
        pynvml.nvmlDeviceRegisterEvents(gpu, kind, events)
        assert code_of(pynvml.nvmlEventSetWait_v2, events, 0) == pynvml.NVML_ERROR_TIMEOUT, "it was before"
    board.tell_xid(1, 2, xid=79)
    board.lose(1, 2)
    for events in (first, second):
        event = pynvml.nvmlEventSetWait_v2(events, 0)
        assert (event.eventType, event.eventData) == (kind, 79)
        assert code_of(pynvml.nvmlEventSetWait_v2, events, 0) == pynvml.NVML_ERROR_GPU_IS_LOST
        pynvml.nvmlEventSetFree(events)


def test_another_writers_limit_reads_back(board: Board, gpu: Any) -> None:
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 200_000)
    board.write_as_other(1, 2, watts=333.0)
    assert (field(gpu, 190), field(gpu, 192)) == (333_000, 333_000)


def test_half_a_setting_is_never_seen(board: Board, gpu: Any) -> None:
    one = board.gpus[1, 2]
    one["power"][1] = (7, 7, 0)  # a writer that was killed before it turned the index
    one["lock"] = 1
    assert field(gpu, 190) == 400_000
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, 200_000)  # takes the dead writer's lock over
    assert field(gpu, 190) == 200_000
