"""Reading GPUs through pynvml from the fake library: what is listed, sampled, doubted and lost."""

from collections.abc import Iterator
from pathlib import Path

import pynvml  # type: ignore[import-untyped]
import pytest

from loadline_agent.hardware import nvml, sensors
from loadline_agent.hardware.sensors import TOLD_FOR_S, GpuSample, GpuSensors, missing_right
from loadline_policies.errors import GpuLost, HardwareError, NoPermission, OutOfRange
from testbed.fakegpu import layouts
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

PERIOD_S = 0.25


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board.create(tmp_path / "board", ("node-00",))


@pytest.fixture
def gpus(board: Board) -> Iterator[GpuSensors]:
    yield from opened(board)


def opened(board: Board) -> Iterator[GpuSensors]:
    with joined(board.path):
        gpus = GpuSensors.open()
        yield gpus
        gpus.close()


def fields(tmp_path: Path, mask: int) -> Board:
    return Board.create(tmp_path / "fields", ("node-00",), spec=GpuSpec(fields=mask))


def sampled(board: Board, gpus: GpuSensors, seconds: float, *, watts: float, true_watts: float) -> GpuSample:
    """The first GPU's last sample, after it said `watts` for some seconds while it drew `true_watts`."""
    sample = gpus.sample(0.0)[0]
    for step in range(1, round(seconds / PERIOD_S) + 1):
        now = step * PERIOD_S
        board.set_sensors(watts=watts, energy_mj=round(1e6 + true_watts * now * 1000))
        sample = gpus.sample(now)[0]
    return sample


def test_gpus_are_listed_with_their_ranges(board: Board, gpus: GpuSensors) -> None:
    assert tuple(info.uuid for info in gpus.infos) == board.uuids(0)
    info = gpus.infos[0]
    assert (info.min_watts, info.max_watts, info.default_watts) == (100.0, 400.0, 400.0)
    assert (info.min_mhz, info.max_mhz, info.name) == (210, 1410, "NVIDIA A100-SXM4-80GB")


def test_a_sample_has_the_instantaneous_watts(board: Board, gpus: GpuSensors) -> None:
    board.set_sensors(watts=321.0, average_watts=99.0)
    samples = gpus.sample(10.0)
    assert [sample.watts for sample in samples] == [321.0] * 8
    assert {(sample.ok, sample.fault) for sample in samples} == {(True, None)}
    assert all(sample.age_s < 1.0 for sample in samples)


def test_observing_writes_nothing(board: Board, gpus: GpuSensors) -> None:
    for step in range(20):
        gpus.sample(step * PERIOD_S)
    missing_right()
    assert board.writes().sum() == 0


def test_without_field_186_power_usage_is_read(tmp_path: Path) -> None:
    board = fields(tmp_path, layouts.A100_FIELDS & ~layouts.FIELD_INSTANT)
    board.set_sensors(watts=222.0)
    for gpus in opened(board):
        assert gpus.sample(0.0)[0].watts == 222.0


def test_without_any_power_reading_energy_tells_the_watts(tmp_path: Path) -> None:
    board = fields(tmp_path, layouts.ENERGY)
    for gpus in opened(board):
        assert sampled(board, gpus, 0.5, watts=0.0, true_watts=300.0).ok is False
        sample = sampled(board, gpus, 4.0, watts=0.0, true_watts=300.0)
        assert sample.ok
        assert sample.watts == pytest.approx(300.0)
        assert 0.0 < sample.age_s <= 1.0


def test_a_gpu_without_an_energy_counter_is_believed(tmp_path: Path) -> None:
    board = fields(tmp_path, layouts.A100_FIELDS & ~layouts.ENERGY)
    for gpus in opened(board):
        sample = sampled(board, gpus, 10.0, watts=200.0, true_watts=0.0)
        assert (sample.watts, sample.ok, sample.fault) == (200.0, True, None)


class Counter:
    """How often the energy counters of a node are asked; it takes a driver long to answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, asks = 0, nvml.Device.energy_mj

        def counting(device: nvml.Device) -> int:
            self.asked += 1
            return asks(device)

        monkeypatch.setattr(nvml.Device, "energy_mj", counting)


def test_the_energy_of_a_live_sensor_is_not_asked_for(
    board: Board, gpus: GpuSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(monkeypatch)
    for step in range(40):
        board.set_sensors(watts=300.0 + step // 4)  # each value stays for a second, less a round
        gpus.sample(step * PERIOD_S)
    assert counter.asked == 0


def test_the_energy_of_a_sensor_that_repeats_is_asked_for_once_a_second(
    board: Board, gpus: GpuSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(monkeypatch)
    sampled(board, gpus, 10.0, watts=300.0, true_watts=300.0)
    assert counter.asked == 8 * 9


def test_a_sensor_that_was_stuck_and_moves_again_is_believed_at_once(board: Board, gpus: GpuSensors) -> None:
    assert sampled(board, gpus, 5.0, watts=63.0, true_watts=380.0).fault is not None
    board.set_sensors(watts=70.0)
    sample = gpus.sample(5.25)[0]
    assert (sample.watts, sample.fault) == (70.0, None)


def test_a_stuck_sensor_is_replaced_by_the_energy(board: Board, gpus: GpuSensors) -> None:
    sample = sampled(board, gpus, 5.0, watts=63.0, true_watts=380.0)
    assert sample.ok
    assert sample.watts == pytest.approx(380.0)
    said = "its power sensor repeats 63.0 W, which its energy counter doesn't confirm"
    assert sample.fault == ("SensorStuck", said)


def test_a_steady_load_is_not_a_stuck_sensor(board: Board, gpus: GpuSensors) -> None:
    sample = sampled(board, gpus, 60.0, watts=300.0, true_watts=310.0)
    assert (sample.watts, sample.ok, sample.fault) == (300.0, True, None)


def test_a_frozen_gpu_is_not_to_be_used(board: Board, gpus: GpuSensors) -> None:
    sample = sampled(board, gpus, 5.0, watts=300.0, true_watts=0.0)
    assert not sample.ok
    assert sample.age_s == pytest.approx(4.75, abs=0.3)
    assert sample.fault is not None
    assert "neither its power sensor, which reads 300.0 W, nor" in sample.fault.sentence


@pytest.mark.parametrize("watts", [0.0, 15.0, 300.0])
def test_a_pair_of_sensor_and_counter_that_stands_still_is_no_reading(
    board: Board, gpus: GpuSensors, watts: float
) -> None:
    """Few watts were taken for right, since none isn't far from them."""
    sample = sampled(board, gpus, 5.0, watts=watts, true_watts=0.0)
    assert (sample.ok, sample.fault is not None) == (False, True)


def test_a_counter_that_is_all_there_is_and_stands_still_is_no_reading(tmp_path: Path) -> None:
    board = fields(tmp_path, layouts.ENERGY)
    for gpus in opened(board):
        sample = sampled(board, gpus, 5.0, watts=0.0, true_watts=0.0)
        assert (sample.ok, sample.fault is not None) == (False, True)


IMPOSSIBLE = [521.0, 100_000.0, 2**31 / 1000.0, (2**32 - 1) / 1000.0]


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("watts", IMPOSSIBLE)
def test_watts_that_no_such_board_draws_are_no_reading(tmp_path: Path, watts: float, usage: bool) -> None:
    """The highest are what -1 and «no value» look like. One sample of them had a whole row slowed."""
    board = fields(tmp_path, layouts.A100_FIELDS & ~(layouts.FIELD_INSTANT if usage else 0))
    board.set_sensors(watts=200.0)
    for gpus in opened(board):
        gpus.sample(0.0)
        board.gpus["instant_mw"][0, 3] = round(watts * 1000)
        samples = gpus.sample(0.25)
        assert [one.ok for one in samples] == [index != 3 for index in range(8)]
        assert samples[3].watts == 200.0, "the last that could be"
        fault = samples[3].fault
        assert fault is not None
        assert (fault.word, f"{watts:.0f} W" in fault.sentence) == ("SensorImplausible", True)
        board.gpus["instant_mw"][0, 3] = 201_000
        after = gpus.sample(0.5)[3]
        assert (after.watts, after.ok, after.fault) == (201.0, True, fault), "believed, and told for a while"
        board.gpus["instant_mw"][0, 3] = 202_000
        assert gpus.sample(0.25 + TOLD_FOR_S)[3].fault is None


def test_a_board_may_draw_a_little_more_than_its_highest_limit(board: Board, gpus: GpuSensors) -> None:
    board.set_sensors(watts=519.0)
    sample = gpus.sample(0.0)[0]
    assert (sample.watts, sample.ok, sample.fault) == (519.0, True, None)


@pytest.mark.parametrize("mask", [layouts.ENERGY, layouts.A100_FIELDS])
def test_a_counter_that_jumps_is_no_reading(tmp_path: Path, mask: int) -> None:
    board = fields(tmp_path, mask)
    for gpus in opened(board):
        sample = sampled(board, gpus, 5.0, watts=200.0, true_watts=1e6)
        assert (sample.ok, sample.fault and sample.fault.word) == (False, "SensorImplausible")


def test_without_a_range_only_what_no_board_draws_is_refused(board: Board) -> None:
    board.lack(0, 0, what=layouts.LACKS_RANGE)
    for gpus in opened(board):
        board.set_sensors(watts=700.0)
        assert [one.ok for one in gpus.sample(0.0)[:2]] == [True, False]
        board.set_sensors(watts=10_001.0)
        assert not gpus.sample(0.25)[0].ok


def test_a_fault_says_the_same_as_long_as_it_lasts(board: Board, gpus: GpuSensors) -> None:
    """Each other sentence is a write to the API server, of every such node, once a second."""
    sampled(board, gpus, 5.0, watts=63.0, true_watts=380.0)
    told = set()
    for step in range(40):
        now = 5.0 + step * PERIOD_S
        board.set_sensors(watts=63.0, energy_mj=round(1e6 + (380.0 + step % 7) * now * 1000))
        told.add(gpus.sample(now)[0].fault)
    assert len(told) == 1


def test_an_energy_counter_that_does_not_answer_leaves_the_sensor_believed(
    board: Board, gpus: GpuSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(device: nvml.Device) -> int:
        raise HardwareError("NVML answered 999")

    monkeypatch.setattr(nvml.Device, "energy_mj", failing)
    sample = sampled(board, gpus, 5.0, watts=300.0, true_watts=300.0)
    assert (sample.watts, sample.ok, sample.fault) == (300.0, True, None)


def test_a_driver_that_counts_energy_anew_is_no_fault(board: Board, gpus: GpuSensors) -> None:
    sampled(board, gpus, 5.0, watts=300.0, true_watts=300.0)
    board.set_sensors(watts=301.0, energy_mj=0)
    sample = gpus.sample(5.25)[0]
    assert (sample.watts, sample.ok) == (301.0, True)


def test_a_lost_gpu_is_a_fault_and_the_others_go_on(board: Board, gpus: GpuSensors) -> None:
    gpus.sample(0.0)
    board.lose(0, 3)
    samples = gpus.sample(7.0)
    assert [sample.ok for sample in samples] == [index != 3 for index in range(8)]
    assert (samples[3].watts, samples[3].age_s) == (63.0, 7.0)
    word, sentence = samples[3].fault or ("", "")
    assert (word, "GPU is lost" in sentence) == ("GpuLost", True)


def test_a_gpu_that_answers_again_is_believed_again(board: Board, gpus: GpuSensors) -> None:
    board.lose(0, 3)
    assert not gpus.sample(0.0)[3].ok
    board.heal(0, 3)
    assert gpus.sample(1.0)[3].ok


def test_a_failing_read_is_a_fault_with_its_code(board: Board, gpus: GpuSensors) -> None:
    board.fail(0, 0, reads=999)
    word, sentence = gpus.sample(0.0)[0].fault or ("", "")
    assert (word, "NVML answered 999" in sentence) == ("GpuUnreadable", True)


def test_without_a_driver_opening_says_so(tmp_path: Path) -> None:
    with joined(tmp_path / "nothing"), pytest.raises(HardwareError, match="initialising NVML"):
        GpuSensors.open()


@pytest.mark.parametrize(("on_the_bus", "known"), [(0, True), (8, False), (None, False)])
def test_without_a_drivers_library_only_an_empty_bus_says_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch, on_the_bus: int | None, known: bool
) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    monkeypatch.setattr(sensors, "nvidia_gpus", lambda: on_the_bus)
    if known:
        gpus = GpuSensors.open()
        assert (gpus.infos, gpus.sample(0.0)) == ((), ())
        gpus.close()
    else:
        with pytest.raises(HardwareError, match="install the driver"):
            GpuSensors.open()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (15, GpuLost),
        (16, GpuLost),
        (28, GpuLost),
        (4, NoPermission),
        (2, OutOfRange),
        (3, nvml.NotSupported),
        (999, HardwareError),
    ],
)
def test_each_nvml_error_is_one_of_ours(code: int, kind: type[HardwareError]) -> None:
    assert type(nvml.translated(code, uuid="GPU-1", doing="asking")) is kind


@pytest.mark.parametrize(
    ("capabilities", "said", "missing"),
    [
        ("000001ffffffffff", None, None),
        ("00000000a80425fb", None, "CAP_SYS_ADMIN"),
        ("00000000a80425fb", "1", None),
        ("000001ffffffffff", "0", "LOADLINE_NVML_PRIVILEGE=1"),
    ],
)
def test_the_missing_right_is_named(
    tmp_path: Path, capabilities: str, said: str | None, missing: str | None
) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tagent\nCapPrm:\t0\nCapEff:\t{capabilities}\n")
    environ = {} if said is None else {"LOADLINE_NVML_PRIVILEGE": said}
    assert missing_right(environ, status) == missing
