"""GPUs on paper: they draw what is asked, up to their limit times the gain that a meter may hide."""

from dataclasses import dataclass, field
from random import Random

from loadline_policies.power.safety.safe_states import SENSOR_GAIN, NodeRating
from loadline_sim.virtual.worlds import World

GPUS = 2
HOST_WATTS = 650.0


@dataclass
class Paper:
    """GPUs on paper: they draw what is asked, up to their limit times the sensor's gain."""

    world: World
    random: Random
    rating: NodeRating
    host_watts: float = HOST_WATTS
    demand_watts: float = 100.0
    limits: list[float] = field(default_factory=lambda: [400.0] * GPUS)
    orders: list[tuple[int, float]] = field(default_factory=list)
    requested: dict[int, float] = field(default_factory=dict)
    in_force_s: list[float] = field(default_factory=lambda: [0.0] * GPUS)

    def true_watts(self) -> float:
        return self.host_watts + sum(min(self.demand_watts, SENSOR_GAIN * limit) for limit in self.limits)

    def watts(self) -> list[float]:
        return [min(self.demand_watts, SENSOR_GAIN * limit) / SENSOR_GAIN for limit in self.limits]

    def enforced_watts(self) -> list[float]:
        return list(self.limits)

    def requested_watts(self) -> list[float]:
        return [self.requested.get(index, limit) for index, limit in enumerate(self.limits)]

    def set_limit(self, index: int, watts: float) -> None:
        def act() -> None:
            self.limits[index] = watts

        self.orders.append((index, watts))
        self.requested[index] = watts
        lands_s = max(self.in_force_s[index], self.world.now + self.random.uniform(0.01, 0.2))
        self.in_force_s[index] = lands_s
        self.world.at(lands_s, act)

    def set_clock(self, index: int, mhz: int | None) -> None:
        pass
