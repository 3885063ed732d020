"""
GPUs on paper: they draw what is asked, up to their limit times the gain that a meter may hide.

They may do what real ones do: take an order and keep silent about not obeying it, be held lower
by a BMC, be set by somebody else, forget every limit, and fall off the bus.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from loadline_policies.power.safety.safe_states import SENSOR_GAIN, NodeRating
from loadline_sim.virtual.worlds import World

GPUS = 2
HOST_WATTS = 650.0
MIN_WATTS, MAX_WATTS = 100.0, 400.0


@dataclass
class Paper:
    """One node's GPUs. `deaf` are those whose setters answer well and do nothing.

    They draw nothing until `off_until_s`. Somebody else last wrote their limits at `overwritten_s`; limits
    that weren't ordered last came into force at `raised_s`.
    """

    world: World
    random: Random
    rating: NodeRating
    host_watts: float = HOST_WATTS
    demand_watts: float = 100.0
    limits: list[float] = field(default_factory=lambda: [MAX_WATTS] * GPUS)
    orders: list[tuple[int, float]] = field(default_factory=list)
    requested: dict[int, float] = field(default_factory=dict)
    in_force_s: list[float] = field(default_factory=lambda: [0.0] * GPUS)
    bmc_watts: float = MAX_WATTS
    deaf: set[int] = field(default_factory=set)
    off_until_s: float = 0.0
    overwritten_s: float = 0.0
    raised_s: float = float("-inf")

    def true_watts(self) -> float:
        """What the node draws, whatever its sensors show."""
        return self.host_watts + sum(self._drawn())

    def watts(self) -> list[float]:
        """What the sensors show: a board that reads too little by all that it may."""
        return [watts / SENSOR_GAIN for watts in self._drawn()]

    def enforced_watts(self) -> list[float]:
        """The limits in force, of which the BMC may have its own."""
        return [min(limit, self.bmc_watts) for limit in self.limits]

    def requested_watts(self) -> list[float]:
        """The limits last asked for."""
        return [self.requested.get(index, limit) for index, limit in enumerate(self.limits)]

    def most_watts(self) -> list[float]:
        """The most that each may draw now or once what was asked for is in force."""
        return [max(pair) for pair in zip(self.limits, self.requested_watts(), strict=True)]

    def set_limit(self, index: int, watts: float) -> None:
        """Order a limit; it is in force a moment later, and orders land in their order."""
        self.orders.append((index, watts))
        if index not in self.deaf:
            self._ask(index, watts)

    def set_clock(self, index: int, mhz: int | None) -> None:
        """Clocks don't bind, and don't show on paper."""

    def overwrite(self, watts: float) -> None:
        """Somebody else sets all limits."""
        self.overwritten_s = self.raised_s = self.world.now
        for index in range(GPUS):
            self._ask(index, watts)

    def forget(self, indices: Iterable[int] = range(GPUS)) -> None:
        """The driver is loaded anew: limits are what it begins with."""
        self.raised_s = self.world.now
        for index in indices:
            self._ask(index, MAX_WATTS)

    def _ask(self, index: int, watts: float) -> None:
        def act() -> None:
            self.limits[index] = watts

        self.requested[index] = watts
        lands_s = max(self.in_force_s[index], self.world.now + self.random.uniform(0.01, 0.2))
        self.in_force_s[index] = lands_s
        self.world.at(lands_s, act)

    def _drawn(self) -> list[float]:
        if self.world.now < self.off_until_s:
            return [0.0] * GPUS
        return [min(self.demand_watts, SENSOR_GAIN * limit) for limit in self.enforced_watts()]
