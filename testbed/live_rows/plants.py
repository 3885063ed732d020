"""
GPUs that draw what is asked of them, up to their limits, and the breaker that bears it all.

Twenty times a second the plant reads the limits in force on the board, makes every GPU draw what is
demanded of it, and adds the row up as it truly is: hosts at their maximum, and GPUs up to 5 % above
their limits, since each sensor hides as much as it may. Locked clocks take no watt away: no promise
leans on them. A limit that came into force within a tick did so in its middle, so each tick heats the breaker
half by the load at its beginning and half by that at its end.

Whoever has to act or to look at the very moment puts a function into `hooks`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from loadline_policies.power.safety.breakers import WARM, Curve
from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from testbed.fakegpu.board import Board, boottime
from testbed.limit_watchers import Watcher

TICK_S: Final = 0.05
KEPT_TICKS: Final = 1200
"""A minute of moments, for whoever asks what was so when a status was measured."""

Floats = npt.NDArray[np.float64]


class Moment(NamedTuple):
    """What was true of the row at one tick.

    `shown_watts` is what each node shows, its host included; `gpus_watts` what each of its GPUs does,
    of shape (nodes, gpus).
    """

    at_s: float
    true_watts: float
    shown_watts: tuple[float, ...]
    gpus_watts: Floats
    heat: float

    @property
    def sensor_watts(self) -> float:
        """What the row shows."""
        return sum(self.shown_watts)


class Plant(Watcher):
    """Drives a board while its block lasts. `demand_watts` is what the GPUs of each node would draw."""

    def __init__(self, board: Board, *, curve: Curve, budget_watts: float, host_watts: float) -> None:
        super().__init__(self.tick, every_s=TICK_S)
        self.board, self.curve, self.budget_watts = board, curve, budget_watts
        self.demand_watts: Floats = np.zeros(board.gpus.shape[0])
        self.hooks: list[Callable[[], None]] = []
        self.heat = self.most_heat = WARM
        self.most_load = 0.0
        self.longest_tick_s = 0.0
        self.moments: deque[Moment] = deque(maxlen=KEPT_TICKS)
        self._host_watts = host_watts
        self.tick()

    def demand(self, load: float) -> None:
        """Let the row ask for so much of its budget; what no GPU can draw isn't drawn."""
        hosts_watts = self._host_watts * len(self.demand_watts)
        each_watts = (load * self.budget_watts - hosts_watts) / self.board.gpus.size
        self.demand_watts = np.full_like(self.demand_watts, max(0.0, each_watts))

    def tick(self) -> None:
        """Draw, heat, and let everybody look who is there to."""
        now = boottime()
        limits = self.board.enforced_watts(now)
        drawn = np.minimum(self.demand_watts[:, np.newaxis], SENSOR_GAIN * limits)
        locked = self.board.locked_mhz(now)
        full_mhz = int(self.board.header["max_mhz"][0])
        self.board.set_sensors(watts=drawn / SENSOR_GAIN, sm_mhz=np.where(locked == 0, full_mhz, locked))
        self._note(now, drawn)
        for hook in self.hooks:
            hook()

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    @property
    def load(self) -> float:
        """The true load now, as a fraction of the budget."""
        return self.now.true_watts / self.budget_watts

    def between(self, first_s: float, last_s: float) -> list[Moment]:
        """The moments kept of a stretch of time."""
        return [moment for moment in list(self.moments) if first_s <= moment.at_s <= last_s]

    def _note(self, now: float, drawn_watts: Floats) -> None:
        true_watts = float((self._host_watts + drawn_watts.sum(axis=1)).sum())
        if self.moments:
            before = self.moments[-1]
            dt_s = now - before.at_s
            for watts in (before.true_watts, true_watts):
                self.heat = self.curve.heated(self.heat, load=watts / self.budget_watts, dt_s=dt_s / 2)
            self.longest_tick_s = max(self.longest_tick_s, dt_s)
        self.most_heat = max(self.most_heat, self.heat)
        self.most_load = max(self.most_load, true_watts / self.budget_watts)
        gpus_watts = drawn_watts / SENSOR_GAIN
        shown_watts = tuple((self._host_watts + gpus_watts.sum(axis=1)).tolist())
        self.moments.append(Moment(now, true_watts, shown_watts, gpus_watts, self.heat))
