"""
A window in which a policy held caps, once more in the plant's ticks of 25 ms.

By the second a limiter is looked at once a second, and a peak shorter than that is averaged away. So weeks
by the second say when a policy acts and for how long; what the breaker sees meanwhile is said here, by the
same policy from the same state. It decides for itself: if it decides otherwise, that is counted.
"""

from dataclasses import dataclass

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.plant.hardware import TICK_S
from loadline_sim.weeks.rows import SECOND_S, RowConfig, SteppedRow, copied
from loadline_sim.weeks.runs import Orders, Window, put_in_force


@dataclass(frozen=True, slots=True)
class Replay:
    """The row's load in each tick of a window, and how the policy ended."""

    loads: Floats
    orders: Orders

    @property
    def by_second(self) -> Floats:
        """The mean load of each second."""
        return np.asarray(self.loads.reshape(-1, round(SECOND_S / TICK_S)).mean(axis=1))


def replay(config: RowConfig, window: Window) -> Replay:
    """Simulate a window again, from the state before it, in ticks of the plant."""
    queue = window.queue._replace(ttft_s=window.queue.ttft_s.copy(), latency_s=window.queue.latency_s.copy())
    row = SteppedRow(config, queue, copied(window.servers), tick_s=TICK_S)
    orders, seconds = window.orders.kept(), window.end_s - window.start_s
    loads = np.empty((seconds, row.ticks_per_s))
    for place, second in enumerate(range(window.start_s, window.end_s)):
        put_in_force(row, orders, second)
        loads[place] = row.step(second, 1)
        now_s = window.origin_s + second + SECOND_S
        orders.decide(float(loads[place].mean()), second=second, now_s=now_s, reaction_s=config.reaction_s)
    return Replay(loads.ravel(), orders)
