"""
The plant in real time, behind the fake GPUs.

Forty times a second the plant reads the limits and clocks that are in force on a board
(the memory that the fake driver shares), makes the tick that has passed, and writes
what the meters say back. It publishes a small snapshot for whoever watches, and keeps
the recording. It must cost little, since everything else shares its two cores: a tick
is one call into compiled code and one pass over arrays of 52 × 8.

The board is a protocol, because the one that exists belongs to `testbed/fakegpu`, which
nothing here may import.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loadline_sim.arrays import Floats
from loadline_sim.plant.clock import Pace
from loadline_sim.plant.hardware import TICK_S
from loadline_sim.plant.plants import Plant
from loadline_sim.plant.recordings import Recorder

SNAPSHOT_TICKS = 10
"""Ticks between two snapshots: four a second."""

RECENT_REQUESTS_S = 60.0
"""Latencies in a snapshot are medians over the requests that arrived within so many seconds."""


class Board(Protocol):
    """The memory shared with the fake driver; arrays have the shape (nodes, GPUs)."""

    def enforced_watts(self, now: float | None = None) -> Floats:
        """Power limits in force."""
        ...

    def locked_mhz(self, now: float | None = None) -> NDArray[np.uint32]:
        """Upper ends of the locked clocks in force, 0 where none is."""
        ...

    def set_sensors(
        self,
        *,
        watts: Floats | float,
        average_watts: Floats | float | None = None,
        energy_mj: ArrayLike | None = None,
        sm_mhz: ArrayLike | None = None,
    ) -> None:
        """Publish what the GPUs report."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The row now, true values. Lists are by node; `latency_s` maps services to recent medians.

    `late_s` says how far the plant is behind the clock: above a tick or two the machine is overloaded.
    """

    t_s: float
    row_watts: float
    sensor_watts: float
    budget_watts: float
    heat: float
    brakes: int
    trips: int
    seconds_above: float
    late_s: float
    node_watts: list[int]
    clock_mhz: list[int]
    limit_watts: list[float]
    latency_s: dict[str, float | None]


class Live:
    """Drives a plant by a clock; `clock` gives seconds on the board's clock, `sleep` waits.

    `start_at` is the instant of the window's zero: the plant must be warmed up to it.
    """

    def __init__(
        self,
        plant: Plant,
        board: Board,
        *,
        recorder: Recorder,
        snapshot_path: Path,
        start_at: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.plant, self.board, self.recorder = plant, board, recorder
        self.snapshot_path, self.clock, self.sleep = snapshot_path, clock, sleep
        self.pace = Pace(start_s=start_at, tick_s=TICK_S)
        self._full_mhz = int(plant.config.model.watts.full_mhz)
        self._publish_sensors()

    def run(self, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Go on in step with the clock until so many seconds of the window are over, or stopped."""
        ticks = round(seconds / TICK_S)
        while self.pace.made < ticks and not stopped():
            self.catch_up(ticks)
            self.sleep(self.pace.wait_s(self.clock()))

    def catch_up(self, last_tick: int) -> None:
        """Make the ticks that are due, up to `last_tick`."""
        due = min(self.pace.due(self.clock()), last_tick - self.pace.made)
        for _ in range(due):
            self._tick()

    def _tick(self) -> None:
        """One tick under the limits that were in force when it ended."""
        ends_at = self.pace.start_s + (self.pace.made + 1) * TICK_S
        locked = self.board.locked_mhz(ends_at).astype(np.int64)
        self.plant.set_limits(
            self.board.enforced_watts(ends_at), np.where(locked == 0, self._full_mhz, locked)
        )
        self.plant.step()
        self.pace.made += 1
        self.recorder.tick()
        self._publish_sensors()
        if self.pace.made % SNAPSHOT_TICKS == 0:
            self._publish_snapshot()

    def _publish_sensors(self) -> None:
        sensors = self.plant.sensors
        self.board.set_sensors(
            watts=sensors.instant_watts,
            average_watts=sensors.average_watts,
            energy_mj=(self.plant.energy_joules * 1e3).astype(np.uint64),
            sm_mhz=np.broadcast_to(self.plant.clock_mhz[:, np.newaxis], sensors.gain.shape),
        )

    def _publish_snapshot(self) -> None:
        """Replace the snapshot in one step, so that a reader never sees half of one."""
        draft = self.snapshot_path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self.snapshot())), "utf-8")
        os.replace(draft, self.snapshot_path)

    def snapshot(self) -> Snapshot:
        """The row now."""
        plant = self.plant
        return Snapshot(
            t_s=round(plant.now_s, 3),
            row_watts=round(plant.row_watts, 1),
            sensor_watts=round(plant.sensor_watts, 1),
            budget_watts=plant.config.budget_watts,
            heat=round(plant.breaker.heat, 5),
            brakes=plant.breaker.brakes,
            trips=plant.breaker.trips,
            seconds_above=round(plant.breaker.seconds_above, 3),
            late_s=round(self.pace.late_s(self.clock()), 3),
            node_watts=plant.server_watts.astype(int).tolist(),
            clock_mhz=plant.clock_mhz.tolist(),
            limit_watts=plant.servers.limit_watts.round(1).tolist(),
            latency_s=plant.recent_latency_s(RECENT_REQUESTS_S),
        )
