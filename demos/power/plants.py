"""
The demo's plant as a process, with a meter for the row's reaction times.

    python -m demos.power.plants --board BOARD --services JSON --scenario JSON --control JSON --out DIR

It warms up the row in virtual time, writes DIR/ready, reads from DIR/start-at the boot time at which
the window starts, and then runs in real time until SIGTERM or the window's end. At the end it writes
`recording.npz` and `reactions.json` into DIR.

The thresholds that start a reaction change while the row runs: `watches` writes those of the policy
in force into the control file, and switches the meter off there while no reaction is expected,
because the domain isn't enforced or a component is stopped on purpose. The meter reads only the
plant's own values: the sum of its sensors, and the limits and clocks in force on every GPU of the
board.
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
from loadline_sim.arrays import Floats
from loadline_sim.demo import replays, scenarios
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant.live import Live
from loadline_sim.plant.plants import Plant
from loadline_sim.plant.reactions import Reaction, ReactionMeter, Threshold
from loadline_sim.plant.recordings import Recorder
from testbed.fakegpu.board import Board, boottime
from testbed.fakegpu.plant import Stop

LATENCY_TICKS = 40
"""Ticks between two writes of the latencies: one second."""


class Control(BaseModel):
    """The meter's input. `watching` is false while no reaction is expected.

    `thresholds` are pairs of a load and the clock (MHz) that it requires of low priority; above the
    budget every GPU must be at its safe limit, `safe_watts`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    watching: bool = False
    thresholds: tuple[tuple[float, float], ...] = ()
    safe_watts: float = 0.0

    def write(self, path: Path) -> None:
        """Replace the file atomically."""
        draft = path.with_suffix(".draft")
        draft.write_text(self.model_dump_json())
        os.replace(draft, path)

    def owed(self) -> tuple[Threshold, ...]:
        """The thresholds in the meter's form, with the safe limit above the budget."""
        clocks = (Threshold(load, low_clock_mhz=mhz) for load, mhz in self.thresholds)
        return (*clocks, Threshold(1.0, limit_watts=self.safe_watts))


class ControlFile:
    """Reads the control file; without a file no reaction is expected."""

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
    """What the meter needs: the board with the limits, the control file, and the file for the latencies."""

    board: Board
    file: ControlFile
    full_mhz: float
    latencies: Path


class MeteredRecorder(Recorder):
    """A recorder that also passes every tick to the meter of reaction times."""

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
        """Record the plant's latest tick."""
        super().tick()
        self._write_latencies()
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

    def _write_latencies(self) -> None:
        if self.plant.ticks % LATENCY_TICKS == 0:
            served = self.plant.served()
            came_s, now_s = served.arrivals.arrival_s, self.plant.now_s
            found = latencies.recent(
                self._services, arrival_s=came_s, latency_s=served.latency_s, now_s=now_s
            )
            latencies.write(self._by.latencies, found)

    def _in_force(self) -> tuple[Floats, Floats]:
        """Each node's highest clock (MHz) and limit (W): it has reacted only once all of its GPUs have."""
        now = boottime()
        locked = self._by.board.locked_mhz(now)
        mhz = np.where(locked == 0, self._by.full_mhz, locked)
        return mhz.max(axis=1), self._by.board.enforced_watts(now).max(axis=1)


def drive(board: Board, scenario: Scenario, *, services: Sequence[str], out: Path, control: Path) -> None:
    """Run the scenario on the board until it is over or stopped, and write recording and reactions."""
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
    """Read the reactions that a plant has written."""
    return tuple(Reaction(**one) for one in json.loads(path.read_text()))


def _start_at(out: Path, stop: Stop) -> float:
    """Create the file `ready`, and wait for the file with the boot time at which the window starts."""
    (out / "ready").touch()
    start_at = out / "start-at"
    while not start_at.exists() and not stop():
        time.sleep(0.02)
    return float(start_at.read_text()) if start_at.exists() else boottime()


def main() -> None:
    """Parse the arguments and run the plant."""
    parser = argparse.ArgumentParser(
        prog="python -m demos.power.plants", description="Run the demo's simulated servers on a fake board."
    )
    for name in ("board", "services", "scenario", "control", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    scenario = Scenario.model_validate_json(given.scenario.read_text("utf-8"))
    services = json.loads(given.services.read_text("utf-8"))
    with Board.open(given.board) as board:
        drive(board, scenario, services=services, out=given.out, control=given.control)


if __name__ == "__main__":
    main()
