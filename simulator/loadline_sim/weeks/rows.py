"""
A row that is stepped second by second under a policy's caps, in ticks as long as one likes.

The plant's engine goes from event to event within a tick, so a tick of a second gives the same watts as forty
of 25 ms for as long as no limit is in force: what a tick rounds is when a limiter looks, not when a prompt
ends. That is why weeks can be simulated by the second, with the same code as the live plant.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadline_policies.models.parameters import ServerModel
from loadline_policies.power.rows import Cap, Caps
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating, safe_limits
from loadline_sim.arrays import Floats
from loadline_sim.plant.engine import Queue, Sensors, Servers, advance
from loadline_sim.plant.tables import tables_of

SECOND_S: Final = 1.0
"""How long the ticks of weeks are, and how often a policy decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowConfig:
    """A row: `is_low` says which servers have low priority, one entry for each.

    A decision is in force `reaction_s` after the second that it was made of, in whole seconds.
    """

    is_low: NDArray[np.bool_]
    budget_watts: float
    model: ServerModel
    curve: Curve
    reaction_s: int = 1

    @property
    def servers(self) -> int:
        """How many there are."""
        return int(self.is_low.size)

    def safe_limit_watts(self) -> float:
        """The safe limit of a GPU of this row; UnsafeDomain where the budget is too small for any."""
        model = self.model
        gpu = GpuRating("a GPU", model.min_limit_watts, model.watts.tdp_watts)
        node = NodeRating(node="a server", host_max_watts=model.host_watts, gpus=(gpu,) * model.gpus)
        return safe_limits([node], self.budget_watts / self.servers)[gpu.uuid]


class SteppedRow:
    """The servers of a row with the requests of a span; steps count in seconds from the span's start.

    It has no sensors: a policy is given the true load.
    """

    def __init__(self, config: RowConfig, queue: Queue, servers: Servers, *, tick_s: float) -> None:
        self.config, self.queue, self.servers = config, queue, servers
        self.ticks_per_s = round(SECOND_S / tick_s)
        self._tick_s = tick_s
        self._tables = tables_of(config.model)
        none = np.zeros((config.servers, 0))
        self._sensors = Sensors(none, none.astype(np.int64), none, none)
        self._safe_watts = config.safe_limit_watts()

    def step(self, first_s: int, seconds: int) -> Floats:
        """Go on from a second by so many of them; the row's load in each tick."""
        ticks = seconds * self.ticks_per_s
        gpu_watts, unused = np.empty(ticks), np.empty(ticks)
        advance(
            first_s * self.ticks_per_s, ticks, 0.0, self._tick_s, 1, 0.0,
            self.servers, self.queue, self._sensors, self._tables, gpu_watts, unused,
        )  # fmt: skip
        model = self.config.model
        watts = self.config.servers * model.host_watts + model.gpus * gpu_watts
        return np.asarray(watts / self.config.budget_watts)

    def cap(self, caps: Caps) -> None:
        """Put a policy's caps in force; braked servers get their safe limits too."""
        for is_mine, cap in ((self.config.is_low, caps.low), (~self.config.is_low, caps.high)):
            mhz, watts = self._limits(cap)
            self.servers.locked_mhz[is_mine] = mhz
            self.servers.limit_watts[is_mine] = min(watts, self._safe_watts) if caps.brake else watts

    def _limits(self, cap: Cap) -> tuple[int, float]:
        """Clock and limit of a cap, within what the GPU can be set to."""
        draw, model = self.config.model.watts, self.config.model
        mhz = draw.full_mhz if cap.clock_mhz is None else min(max(cap.clock_mhz, draw.min_mhz), draw.full_mhz)
        watts = draw.tdp_watts if cap.watts is None else cap.watts
        return int(mhz), min(max(watts, model.min_limit_watts), draw.tdp_watts)


def copied(servers: Servers) -> Servers:
    """The same state in arrays of its own."""
    return Servers._make(array.copy() for array in servers)
