"""The plant in real time, on a clock that jumps."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loadline_policies.models import parameters
from loadline_sim.arrays import Floats
from loadline_sim.demo import replays, scenarios
from loadline_sim.plant.clock import Pace
from loadline_sim.plant.live import Live
from loadline_sim.plant.recordings import Recorder

MODEL = parameters.load()
SERVICES = scenarios.alternating(4)
SCENARIO = scenarios.load().model_copy(update={"servers": 4})


@dataclass
class Memory:
    """A board in plain arrays."""

    limits: Floats = field(default_factory=lambda: np.full((4, 8), 400.0))
    clocks: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((4, 8), dtype=np.uint32))
    shown: list[Floats] = field(default_factory=list)
    energy_mj: list[float] = field(default_factory=list)

    def enforced_watts(self, now: float | None = None) -> Floats:
        return self.limits

    def locked_mhz(self, now: float | None = None) -> NDArray[np.uint32]:
        return self.clocks

    def set_sensors(
        self,
        *,
        watts: Floats | float,
        average_watts: Floats | float | None = None,
        energy_mj: ArrayLike | None = None,
        sm_mhz: ArrayLike | None = None,
    ) -> None:
        self.shown.append(np.array(watts))
        self.energy_mj.append(float(np.sum(energy_mj if energy_mj is not None else 0)))


@dataclass
class Time:
    """A clock that moves only by sleeping, and then a little too far."""

    now: float = 1000.0
    overslept_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.overslept_s


def live(board: Memory, time: Time, folder: Path) -> Live:
    """A small row about to start."""
    requests = scenarios.arrivals_of(SCENARIO, SERVICES, model=MODEL, stress=None)
    plant = scenarios.plant_of(SCENARIO, requests, MODEL, servers=4)
    recorder = Recorder(
        plant,
        replays.meta_of(SCENARIO, MODEL, mode="Live"),
        services_of_servers=SERVICES,
        priorities=replays.PRIORITIES,
    )
    return Live(
        plant,
        board,
        recorder=recorder,
        snapshot_path=folder / "now.json",
        start_at=1000.0,
        clock=lambda: time.now,
        sleep=time.sleep,
    )


def test_a_tick_is_due_once_it_has_passed() -> None:
    pace = Pace(start_s=10.0, tick_s=0.025)
    assert [pace.due(now) for now in (9.0, 10.0, 10.024, 10.025, 10.1)] == [0, 0, 0, 1, 4]


def test_real_time_gives_what_virtual_time_gives(tmp_path: Path) -> None:
    running = live(Memory(), Time(), tmp_path)
    running.run(10.0)
    virtual = scenarios.plant_of(
        SCENARIO, scenarios.arrivals_of(SCENARIO, SERVICES, model=MODEL, stress=None), MODEL, servers=4
    )
    watts, _ = virtual.run_until(10.0)
    assert np.array_equal(running.recorder.finish().row_watts, watts)


def test_a_late_plant_makes_up_its_ticks(tmp_path: Path) -> None:
    time = Time(overslept_s=0.3)
    running = live(Memory(), time, tmp_path)
    running.run(5.0)
    assert running.plant.ticks == live(Memory(), Time(), tmp_path).plant.ticks + 200
    assert running.recorder.finish().t_s.size == 200


def test_a_clock_locked_on_the_board_slows_the_row(tmp_path: Path) -> None:
    board = Memory()
    board.clocks[:] = 600
    running = live(board, Time(), tmp_path)
    running.run(2.0)
    assert running.plant.clock_mhz.tolist() == [600] * 4


def test_the_board_is_shown_every_tick_and_energy_only_grows(tmp_path: Path) -> None:
    board = Memory()
    live(board, Time(), tmp_path).run(2.0)
    assert len(board.shown) == 81
    assert board.energy_mj == sorted(board.energy_mj)


def test_a_snapshot_can_be_read(tmp_path: Path) -> None:
    live(Memory(), Time(), tmp_path).run(1.0)
    snapshot = json.loads((tmp_path / "now.json").read_text("utf-8"))
    assert snapshot["t_s"] == 1.0
    assert len(snapshot["node_watts"]) == 4
    assert set(snapshot["latency_s"]) == {"chat", "code"}


def test_a_stopped_plant_keeps_what_it_recorded(tmp_path: Path) -> None:
    time = Time()
    running = live(Memory(), time, tmp_path)
    running.run(60.0, stopped=lambda: time.now >= 1003.0)
    assert 2.9 <= running.recorder.finish().t_s[-1] <= 3.1
