"""A driver that is loaded anew under a running agent, and GPUs that come late: all are taken in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadline_agent.hardware import nvml
from loadline_agent.hardware.armed_records import ArmedRecordFile
from loadline_agent.hardware.driver_watches import (
    BLIND_AFTER_S,
    COUNT_EVERY_S,
    OUTDATED_AFTER_S,
    RELOAD_EVERY_S,
)
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.sensors import GpuSensors
from loadline_policies.errors import HardwareError
from loadline_policies.power.protocol.messages import UNIDENTIFIED, GpuLimit
from testbed.clocks import Clock
from testbed.fakegpu.board import Board, GpuSpec
from testbed.fakegpu.joining import joined

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
SAFE_WATTS, DEADLINE_S = 250.0, 1000.0
NOT_LOADED, MISMATCH, UNKNOWN = 9, 18, 999
SPEC = GpuSpec(power_delay_s=0.0, clock_delay_s=0.0)


class Machine:
    """A node whose driver can be loaded anew: what was open says an error then, and a new one finds all."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self._directory, self._drivers = directory, 0
        self.board = self._made()
        self.state = ArmedRecordFile(str(directory), BOOT)

    def start(self) -> NodeGpus:
        return NodeGpus(GpuSensors.open(), self.state, boot=BOOT, clock=self.clock)

    def unload(self, error: int = NOT_LOADED) -> None:
        for gpu in range(8):
            self.board.fail(0, gpu, reads=error, writes=error)
        os.environ["LOADLINE_FAKEGPU_BOARD"] = str(self._directory / "nothing")

    def load(self) -> None:
        self.board = self._made()
        os.environ["LOADLINE_FAKEGPU_BOARD"] = str(self.board.path)

    def turns(self, node_gpus: NodeGpus, seconds: float) -> list[Done]:
        """What the thread of the GPUs does for so long; the step downs because of a new driver."""
        done, end_s = [], self.clock.now + seconds
        while self.clock.now < end_s:
            self.clock.now += SAMPLE_EVERY_S
            done.append(node_gpus.fix())
            node_gpus.sample()
        return [one for one in done if one is not None]

    def _made(self) -> Board:
        self._drivers += 1
        board = Board.create(self._directory / f"driver-{self._drivers}", ("node-00",), spec=SPEC)
        board.set_sensors(watts=200.0)
        return board


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    with joined(made.board.path):
        yield made


@pytest.fixture
def node_gpus(machine: Machine) -> Iterator[NodeGpus]:
    made = machine.start()
    yield made
    made.close()


def leased(node_gpus: NodeGpus, watts: float = 300.0, *, clock_mhz: int | None = None) -> None:
    limits = tuple(
        GpuLimit(uuid=gpu.uuid, watts=max(gpu.min_watts, watts), safe_watts=SAFE_WATTS, clock_mhz=clock_mhz)
        for gpu in node_gpus.state().gpus
    )
    node_gpus.enforce(limits, plan_version=1, deadline_s=DEADLINE_S)


@pytest.mark.parametrize("error", [1, NOT_LOADED, 15, MISMATCH, UNKNOWN])
def test_a_driver_that_was_loaded_anew_is_read_within_seconds(
    machine: Machine, node_gpus: NodeGpus, error: int
) -> None:
    machine.turns(node_gpus, RELOAD_EVERY_S)
    machine.unload(error)
    machine.load()
    machine.turns(node_gpus, BLIND_AFTER_S + 1.0)
    assert [gpu.watts for gpu in node_gpus.state().gpus] == [200.0] * 8
    assert all(gpu.ok for gpu in node_gpus.state().gpus)


def test_while_there_is_no_driver_each_gpu_counts_at_its_maximum_and_says_why(
    machine: Machine, node_gpus: NodeGpus
) -> None:
    machine.turns(node_gpus, RELOAD_EVERY_S)
    leased(node_gpus)
    machine.unload()
    for _ in range(3):
        machine.turns(node_gpus, RELOAD_EVERY_S + 1.0)
        gpus = node_gpus.state().gpus
        assert [gpu.uuid for gpu in gpus] == list(machine.board.uuids(0))
        assert {(gpu.watts, gpu.most_watts, gpu.able) for gpu in gpus} == {(400.0, 400.0, False)}
        assert all(gpu.fault is not None and "9 (Driver Not Loaded)" in gpu.fault.sentence for gpu in gpus)
    assert {gpu.uuid for gpu in node_gpus.record.gpus} == set(machine.board.uuids(0)), "for the guard"
    machine.load()
    machine.turns(node_gpus, RELOAD_EVERY_S + 1.0)
    assert all(gpu.ok for gpu in node_gpus.state().gpus)


def test_an_armed_node_is_at_its_safe_limits_with_the_new_driver_until_it_is_leased_again(
    machine: Machine, node_gpus: NodeGpus
) -> None:
    """The new driver has forgotten all limits, and the node counted as if it had them."""
    leased(node_gpus, clock_mhz=1110)
    machine.turns(node_gpus, RELOAD_EVERY_S)
    machine.unload()
    machine.load()
    (done,) = machine.turns(node_gpus, BLIND_AFTER_S + 1.0)
    assert (done.writes, done.errors) == (8, ())
    assert machine.board.requested_watts()[0].tolist() == [SAFE_WATTS] * 8
    leased(node_gpus, clock_mhz=1110)
    assert machine.board.requested_watts()[0].tolist() == [300.0] * 8
    assert machine.board.locked_mhz()[0].tolist() == [1110] * 8
    assert {gpu.found_watts for gpu in node_gpus.record.gpus} == {400.0}
    assert "OtherWriter" not in node_gpus.state().faults, "nobody else has written"


def test_a_proof_of_another_driver_is_none(machine: Machine, node_gpus: NodeGpus) -> None:
    leased(node_gpus)
    machine.turns(node_gpus, RELOAD_EVERY_S)
    assert all(gpu.proven for gpu in node_gpus.state().gpus)
    machine.unload()
    machine.load()
    for gpu in range(8):
        machine.board.write_as_other(0, gpu, watts=SAFE_WATTS)
    machine.turns(node_gpus, BLIND_AFTER_S + 1.0)
    assert machine.board.writes().sum() == 0, "there was nothing to lower"
    assert not any(gpu.proven for gpu in node_gpus.state().gpus)
    assert all(gpu.able for gpu in node_gpus.state().gpus), "nothing speaks against it either"


def test_one_gpu_that_does_not_answer_has_nothing_loaded_anew(
    machine: Machine, node_gpus: NodeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    monkeypatch.setattr(nvml, "start", lambda: loaded.append(1))
    for gpu in range(7):
        machine.board.lose(0, gpu)
    machine.turns(node_gpus, 60.0)
    assert loaded == []
    assert node_gpus.state().gpus[7].ok


def test_a_driver_that_is_away_for_a_moment_is_not_loaded_anew(
    machine: Machine, node_gpus: NodeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    monkeypatch.setattr(nvml, "start", lambda: loaded.append(1))
    for _ in range(5):
        machine.turns(node_gpus, RELOAD_EVERY_S)
        for gpu in range(8):
            machine.board.fail(0, gpu, reads=UNKNOWN)
        machine.turns(node_gpus, BLIND_AFTER_S - 1.0)
        for gpu in range(8):
            machine.board.heal(0, gpu)
    assert loaded == []


@pytest.mark.parametrize("error", [15, UNKNOWN])
def test_a_gpu_that_could_not_be_opened_is_taken_in_when_it_answers(machine: Machine, error: int) -> None:
    """Nobody looked for it again: it drew its maximum uncounted, uncapped and unguarded."""
    uuid = machine.board.uuids(0)[3]
    if error == 15:
        machine.board.lose(0, 3)
    machine.board.fail(0, 3, reads=error)
    node_gpus = machine.start()
    leased(node_gpus)
    assert [gpu.uuid for gpu in node_gpus.state().gpus if not gpu.has_range] == [f"{UNIDENTIFIED}3"]
    machine.board.heal(0, 3)
    machine.turns(node_gpus, COUNT_EVERY_S + 1.0)
    gpus = {gpu.uuid: gpu for gpu in node_gpus.state().gpus}
    assert gpus.keys() == set(machine.board.uuids(0))
    assert (gpus[uuid].ok, gpus[uuid].watts, gpus[uuid].able) == (True, 200.0, True)
    leased(node_gpus)
    assert machine.board.requested_watts()[0].tolist() == [300.0] * 8
    assert uuid in {gpu.uuid for gpu in node_gpus.record.gpus}
    node_gpus.restore(DEADLINE_S)
    assert machine.board.requested_watts()[0].tolist() == [400.0] * 8
    node_gpus.close()


def test_a_gpu_that_is_put_in_later_is_taken_in(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = nvml.listed
    with monkeypatch.context() as before:
        before.setattr(nvml, "listed", lambda: listed()[:7])
        node_gpus = machine.start()
        machine.turns(node_gpus, COUNT_EVERY_S)
        assert len(node_gpus.state().gpus) == 7
    machine.turns(node_gpus, COUNT_EVERY_S + 1.0)
    assert [gpu.uuid for gpu in node_gpus.state().gpus] == list(machine.board.uuids(0))
    node_gpus.close()


def test_a_node_without_gpus_takes_in_those_that_come(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "GPU-of-another-node")
    node_gpus = machine.start()
    leased(node_gpus)
    assert machine.turns(node_gpus, 60.0) == [], "there is nothing to step down"
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES")
    machine.turns(node_gpus, RELOAD_EVERY_S + 1.0)
    assert len(node_gpus.infos) == 8
    node_gpus.close()


def test_a_gpu_that_was_lost_while_the_driver_was_away_keeps_its_name(
    machine: Machine, node_gpus: NodeGpus
) -> None:
    machine.turns(node_gpus, RELOAD_EVERY_S)
    machine.unload()
    machine.load()
    machine.board.lose(0, 3)
    machine.turns(node_gpus, BLIND_AFTER_S + 1.0)
    gpus = {gpu.uuid: gpu for gpu in node_gpus.state().gpus}
    assert gpus.keys() == set(machine.board.uuids(0))
    assert [uuid for uuid, gpu in gpus.items() if not gpu.ok] == [machine.board.uuids(0)[3]]


def test_a_driver_whose_gpus_cannot_be_opened_is_found_once_they_can(machine: Machine) -> None:
    """NVML stayed initialised after each try, and what is initialised doesn't look for a driver again."""
    machine.unload()
    machine.load()
    for gpu in range(8):
        machine.board.fail(0, gpu, reads=MISMATCH)
    for _ in range(3):
        with pytest.raises(HardwareError, match="18"):
            machine.start()
    machine.unload()
    machine.load()
    node_gpus = machine.start()
    assert len(node_gpus.infos) == 8
    node_gpus.close()


def test_a_library_of_another_version_than_the_driver_needs_a_new_process(
    machine: Machine, node_gpus: NodeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has the library that it has loaded for good. The next container has the new driver's."""
    machine.turns(node_gpus, RELOAD_EVERY_S)
    machine.unload()
    monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", str(MISMATCH))
    machine.turns(node_gpus, OUTDATED_AFTER_S)
    fault = node_gpus.state().gpus[0].fault
    assert fault is not None
    assert (
        "NVML answered 18 (Driver/library version mismatch); the driver in the kernel was" in fault.sentence
    )
    assert "delete the agent's pod" in fault.sentence
    assert "reboot the node" in fault.sentence
    with pytest.raises(nvml.OtherVersion):
        machine.turns(node_gpus, 2 * RELOAD_EVERY_S)


def test_a_driver_that_is_upgraded_piece_by_piece_needs_none(
    machine: Machine, node_gpus: NodeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.turns(node_gpus, RELOAD_EVERY_S)
    machine.unload()
    for code in (MISMATCH, NOT_LOADED, MISMATCH, NOT_LOADED):
        monkeypatch.setenv("LOADLINE_FAKEGPU_INIT", str(code))
        machine.turns(node_gpus, OUTDATED_AFTER_S - RELOAD_EVERY_S)
    monkeypatch.delenv("LOADLINE_FAKEGPU_INIT")
    machine.load()
    machine.turns(node_gpus, RELOAD_EVERY_S + 1.0)
    assert all(gpu.ok for gpu in node_gpus.state().gpus)
