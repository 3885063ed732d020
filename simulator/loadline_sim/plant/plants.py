"""
The plant: a row of GPU servers as it truly is, tick by tick.

It is the same code in virtual time (stepped as fast as it goes) and behind the fake
GPUs (stepped by the clock). Whoever steps it sets limits before a step and reads state
after it; the plant knows no agent, no driver and no wall clock.

    arrivals → servers (engine) → watts → breaker
                  ↑ limits          ↓ sensors

Servers are indexed as in `arrivals.server`. Time is in seconds, zero at the start of
the window; a plant may begin earlier, to be warm by then.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.safety.breakers import Curve
from loadline_sim.arrays import Floats
from loadline_sim.plant import hardware
from loadline_sim.plant.breaker_meters import BreakerMeter
from loadline_sim.plant.engine import advance
from loadline_sim.plant.tables import queue_of, tables_of
from loadline_sim.traffic.arrivals import Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantConfig:
    """A row. `sensor_seed` draws its meters' errors, `start_s` is when its time begins."""

    servers: int
    budget_watts: float
    model: ServerModel
    curve: Curve = field(default_factory=Curve)
    sensor_seed: int = 1
    start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """Requests and what became of them; one entry each, in the order of `Arrivals`.

    `ttft_s` (arrival to first token) and `latency_s` (arrival to last) are NaN while a
    request is under way.
    """

    arrivals: Arrivals
    ttft_s: Floats
    latency_s: Floats


class Plant:
    """A row of servers, its meters and its breaker.

    After each step: `row_watts` and `sensor_watts` (reported by GPUs, hosts added) of the
    last tick, `servers.watts` (one GPU's), `sensors`, `breaker`.
    """

    def __init__(self, config: PlantConfig, arrivals: Arrivals) -> None:
        self.config, self.arrivals = config, arrivals
        self._tables = tables_of(config.model)
        self._queue, self._order = queue_of(arrivals, config.servers, model=config.model)
        self._places = np.argsort(self._order)
        self.servers = hardware.servers_of(config.servers, self._queue.starts, model=config.model)
        self.sensors = hardware.sensors_of(config.servers, config.model, seed=config.sensor_seed)
        self.breaker = BreakerMeter(config.curve, budget_watts=config.budget_watts, tick_s=hardware.TICK_S)
        self.ticks = 0
        self.limit_watts_sum = self._gpus_of_row * config.model.watts.tdp_watts
        self.hosts_watts = config.servers * config.model.host_watts
        self.row_watts = self.hosts_watts + self._gpus_of_row * float(self.servers.watts[0])
        self.sensor_watts = self.hosts_watts + float(self.sensors.instant_watts.sum())

    @property
    def now_s(self) -> float:
        """The end of the last tick."""
        return self.config.start_s + self.ticks * hardware.TICK_S

    @property
    def server_watts(self) -> Floats:
        """True watts of each server in the last tick, host included."""
        return self.config.model.host_watts + self.config.model.gpus * self.servers.watts

    @property
    def clock_mhz(self) -> NDArray[np.int64]:
        """The SM clock of each server's GPUs in the last tick."""
        return self.servers.mhz + self._tables.min_mhz

    @property
    def energy_joules(self) -> Floats:
        """What each GPU's counter shows since the plant began, shape (servers, GPUs)."""
        return self.sensors.gain * self.servers.joules[:, np.newaxis]

    def set_limits(self, enforced_watts: Floats, locked_mhz: NDArray[np.int64]) -> None:
        """The limits and clocks in force from the next tick on, shape (servers, GPUs)."""
        full = int(self.config.model.watts.full_mhz)
        self.limit_watts_sum = float(enforced_watts.sum())
        self.servers.limit_watts[:] = enforced_watts.min(axis=1)
        self.servers.locked_mhz[:] = np.minimum(locked_mhz.min(axis=1), full)

    def step(self, ticks: int = 1) -> tuple[Floats, Floats]:
        """Go on by some ticks under the limits in force; true and reported row watts of each tick."""
        gpu_watts, sensor_watts = np.empty(ticks), np.empty(ticks)
        advance(
            self.ticks, ticks, self.config.start_s, hardware.TICK_S,
            hardware.SAMPLE_TICKS, hardware.AVERAGE_SMOOTHING,
            self.servers, self._queue, self.sensors, self._tables, gpu_watts, sensor_watts,
        )  # fmt: skip
        if not ticks:
            return gpu_watts, sensor_watts
        row_watts = self.hosts_watts + self.config.model.gpus * gpu_watts
        for watts in row_watts.tolist():
            self.breaker.tick(watts)
        self.ticks += ticks
        self.row_watts = float(row_watts[-1])
        self.sensor_watts = self.hosts_watts + float(sensor_watts[-1])
        return row_watts, self.hosts_watts + sensor_watts

    def run_until(self, end_s: float) -> tuple[Floats, Floats]:
        """Step to a time without touching the limits; as `step`."""
        return self.step(max(round((end_s - self.now_s) / hardware.TICK_S), 0))

    def served(self) -> Served:
        """All requests with their latencies so far."""
        ttft_s, latency_s = np.empty(len(self.arrivals)), np.empty(len(self.arrivals))
        ttft_s[self._order] = self._queue.ttft_s
        latency_s[self._order] = self._queue.latency_s
        return Served(self.arrivals, ttft_s, latency_s)

    def recent_latency_s(self, within_s: float) -> dict[str, float | None]:
        """Each service's median latency over the requests that came that recently and are done."""
        first, last = np.searchsorted(self.arrivals.arrival_s, [self.now_s - within_s, self.now_s])
        latency_s = self._queue.latency_s[self._places[first:last]]
        of_service = self.arrivals.service[first:last]
        medians: dict[str, float | None] = {}
        for i, name in enumerate(self.arrivals.services):
            done = latency_s[(of_service == i) & ~np.isnan(latency_s)]
            medians[name] = round(float(np.median(done)), 3) if done.size else None
        return medians

    @property
    def _gpus_of_row(self) -> int:
        return self.config.servers * self.config.model.gpus
