"""
The demo's plant as a process, with a meter for the row's reactions.

    python -m demos.power.plants --board BOARD --services JSON --scenario JSON --control JSON --out DIR

It warms the row up in virtual time, writes DIR/ready, reads from DIR/start-at at which
boot time the window begins, and goes in step with the clock until SIGTERM or the
window's end. It leaves `recording.npz` and `reactions.json` there.

What a reaction is measured against changes while the row runs: the conductor keeps the
thresholds of the policy in force in the control file, and says there when nothing is
owed, since the row isn't enforced or a part of it is broken on purpose. All that is
measured is the plant's: the sum of its sensors, and the limits and clocks in force on
every GPU of the board.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from demos.power import latencies
from loadline_policies.models import parameters
from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.rows import Priority
from loadline_sim.demo import replays, scenarios
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant.engine import Floats
from loadline_sim.plant.live import Live
from loadline_sim.plant.plants import Plant
from loadline_sim.plant.reactions import Reaction, ReactionMeter, Threshold
from loadline_sim.plant.recordings import Recorder
from testbed.fakegpu.board import Board, boottime
from testbed.fakegpu.plant import Stop

TOLD_TICKS = 40
"""Ticks between two words about latencies: one second."""


class Control(BaseModel):
    """What the meter is told. `watching` is false while nothing is owed.

    `thresholds` are (load, the clock of low priority that it asks for); above the whole
    budget every GPU owes its safe limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    watching: bool = False
    thresholds: tuple[tuple[float, float], ...] = ()
    safe_watts: float = 0.0

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        draft = path.with_suffix(".draft")
        draft.write_text(self.model_dump_json())
        os.replace(draft, path)

    def owed(self) -> tuple[Threshold, ...]:
        """The thresholds as the meter takes them."""
        clocks = (Threshold(load, low_clock_mhz=mhz) for load, mhz in self.thresholds)
        return (*clocks, Threshold(1.0, limit_watts=self.safe_watts))


class ControlFile:
    """The control as it is in the file now; nothing is owed while there is none."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp = path, 0
        self._control = Control()

    @property
    def control(self) -> Control:
        try:
            stamp = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return self._control
        if stamp != self._stamp:
            self._control, self._stamp = Control.model_validate_json(self._path.read_text()), stamp
        return self._control


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """Where a metered row's limits are, what is owed by it, and where its latencies are told."""

    board: Board
    file: ControlFile
    full_mhz: float
    latencies: Path


class MeteredRecorder(Recorder):
    """A recorder that shows every tick to the meter of reactions as well."""

    def __init__(
        self, plant: Plant, scenario: Scenario, *, model: ServerModel, services: Sequence[str], by: Metered
    ) -> None:
        super().__init__(
            plant,
            replays.meta_of(scenario, model, mode="Live"),
            services_of_servers=services,
            priorities=replays.PRIORITIES,
        )
        low = np.array([replays.PRIORITIES[name] is Priority.LOW for name in services])
        self.meter, self._by = ReactionMeter(low), by
        asked = plant.arrivals
        self._services = np.array(asked.services)[asked.service]

    def tick(self) -> None:
        """Note the tick that the plant has just made."""
        super().tick()
        self._tell_latencies()
        control = self._by.file.control
        if not control.watching:
            self.meter.forget()
            return
        load = self.plant.sensor_watts / self.plant.config.budget_watts
        locked_mhz, limit_watts = self._in_force()
        self.meter.tick(
            self.plant.now_s,
            load=load,
            thresholds=control.owed(),
            locked_mhz=locked_mhz,
            limit_watts=limit_watts,
        )

    def _tell_latencies(self) -> None:
        if self.plant.ticks % TOLD_TICKS == 0:
            served = self.plant.served()
            came_s, now_s = served.arrivals.arrival_s, self.plant.now_s
            found = latencies.recent(
                self._services, arrival_s=came_s, latency_s=served.latency_s, now_s=now_s
            )
            latencies.write(self._by.latencies, found)

    def _in_force(self) -> tuple[Floats, Floats]:
        """Each node's highest clock and highest limit: all of its GPUs must have answered."""
        now = boottime()
        locked = self._by.board.locked_mhz(now)
        mhz = np.where(locked == 0, self._by.full_mhz, locked)
        return mhz.max(axis=1), self._by.board.enforced_watts(now).max(axis=1)


def drive(board: Board, scenario: Scenario, *, services: Sequence[str], out: Path, control: Path) -> None:
    """Run the scenario on the board until it is over or stopped, and write what was recorded."""
    stop = Stop()
    model = parameters.load()
    requests = scenarios.arrivals_of(scenario, services, model=model, stress=scenario.stress)
    plant = scenarios.plant_of(scenario, requests, model, servers=len(services))
    by = Metered(
        board=board,
        file=ControlFile(control),
        full_mhz=model.watts.full_mhz,
        latencies=out / "latencies.json",
    )
    recorder = MeteredRecorder(plant, scenario, model=model, services=services, by=by)
    start_at = _start_at(out, stop)
    live = Live(
        plant,
        board,
        recorder=recorder,
        snapshot_path=out / "snapshot.json",
        start_at=start_at,
        clock=boottime,
        sleep=time.sleep,
    )
    live.run(scenario.window_s, stop)
    recorder.finish().save(out / "recording.npz")
    (out / "reactions.json").write_text(json.dumps([asdict(one) for one in recorder.meter.reactions]))


def reactions_in(path: Path) -> tuple[Reaction, ...]:
    """The reactions that a plant has left."""
    return tuple(Reaction(**one) for one in json.loads(path.read_text()))


def _start_at(out: Path, stop: Stop) -> float:
    """Say that all is ready, and wait to be told when the window begins."""
    (out / "ready").touch()
    told = out / "start-at"
    while not told.exists() and not stop():
        time.sleep(0.02)
    return float(told.read_text()) if told.exists() else boottime()


def main() -> None:
    """Read the arguments and drive."""
    parser = argparse.ArgumentParser(prog="python -m demos.power.plants", description="The demo's plant.")
    for name in ("board", "services", "scenario", "control", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    scenario = Scenario.model_validate_json(given.scenario.read_text("utf-8"))
    services = json.loads(given.services.read_text("utf-8"))
    with Board.open(given.board) as board:
        drive(board, scenario, services=services, out=given.out, control=given.control)


if __name__ == "__main__":
    main()
