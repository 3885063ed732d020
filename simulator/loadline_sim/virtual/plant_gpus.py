"""
The plant's GPUs as virtual agents set and read them.

An order takes the hardware's time before it is in force: a clock some 10 ms, a
power limit some 100 ms, as in `testbed/fakegpu`. What agents read are the sensors.
"""

from dataclasses import dataclass, field

import numpy as np

from loadline_policies.power.safety.safe_states import GpuRating, NodeRating
from loadline_sim.arrays import Floats
from loadline_sim.plant.plants import Plant
from loadline_sim.virtual.worlds import World

CLOCK_S = 0.01
LIMIT_S = 0.1
"""Seconds until an order is in force. Source: power.md's ~10 ms for NVML clocks (Perseus); limits assumed."""


@dataclass(slots=True)
class Knobs:
    """One kind of order for all GPUs: what is in force, and what was ordered last."""

    in_force: Floats
    delay_s: float
    ordered: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.ordered = self.in_force.copy()


@dataclass(slots=True)
class PlantBoard:
    """Limits and clocks in force on a whole row, shape (servers, GPUs)."""

    world: World
    plant: Plant
    max_watts: float
    max_mhz: int
    changed: bool = False
    limits: Knobs = field(init=False)
    clocks: Knobs = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.plant.config.servers, self.plant.config.model.gpus)
        self.limits = Knobs(np.full(shape, float(self.max_watts)), LIMIT_S)
        self.clocks = Knobs(np.full(shape, float(self.max_mhz)), CLOCK_S)

    def order(self, knobs: Knobs, *, server: int, index: int, value: float) -> None:
        """Put a value in force after its delay; orders of one knob land in their order."""
        if knobs.ordered[server, index] == value:
            return
        knobs.ordered[server, index] = value

        def land() -> None:
            knobs.in_force[server, index] = value
            self.changed = True

        self.world.after(knobs.delay_s, land)


@dataclass(slots=True)
class PlantNode:
    """One node of the row; the `Hardware` of its agent."""

    board: PlantBoard
    server: int
    rating: NodeRating
    host_watts: float

    def watts(self) -> list[float]:
        """What the sensors show."""
        shown: list[float] = self.board.plant.sensors.instant_watts[self.server].tolist()
        return shown

    def enforced_watts(self) -> list[float]:
        """The limits in force."""
        limits: list[float] = self.board.limits.in_force[self.server].tolist()
        return limits

    def requested_watts(self) -> list[float]:
        """The limits last asked for."""
        limits: list[float] = self.board.limits.ordered[self.server].tolist()
        return limits

    def set_limit(self, index: int, watts: float) -> None:
        """Order a power limit."""
        self.board.order(self.board.limits, server=self.server, index=index, value=watts)

    def set_clock(self, index: int, mhz: int | None) -> None:
        """Lock the SM clock's upper end, or unlock it."""
        self.board.order(self.board.clocks, server=self.server, index=index, value=mhz or self.board.max_mhz)


def nodes_of(board: PlantBoard, names: list[str], *, min_watts: float) -> list[PlantNode]:
    """The row's nodes, in the plant's order."""
    model = board.plant.config.model
    return [
        PlantNode(
            board=board,
            server=server,
            host_watts=model.host_watts,
            rating=NodeRating(
                node=name,
                host_max_watts=model.host_watts,
                gpus=tuple(
                    GpuRating(f"GPU-{name}-{index}", min_watts, board.max_watts)
                    for index in range(model.gpus)
                ),
            ),
        )
        for server, name in enumerate(names)
    ]
