"""
Whether a limited node is let go only while the breaker bears all that it may draw then.

A released node is nobody's any more: nothing lowers it again, whatever the load becomes. One that
isn't limited is let go at any load, since that raises nothing.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from loadline_policies.power.safety.safe_states import SENSOR_GAIN
from testbed.shaken_rows.papers import GPUS, HOST_WATTS, MAX_WATTS
from testbed.shaken_rows.rows import CURVE, TICK_S, Bench

ON_ITS_WAY_S: Final = 12.0
"""How old may be what a release goes by: a report, an answer, and the time that the driver takes."""

NODE_MAX_WATTS: Final = HOST_WATTS + SENSOR_GAIN * GPUS * MAX_WATTS


class Releases:
    """Looks at who is let go; `breach` is called with a sentence where there was no room for it."""

    def __init__(self, bench: Bench, breach: Callable[[str], None]) -> None:
        self._bench, self._breach = bench, breach
        self._limited: frozenset[str] = frozenset()
        self._watts: deque[dict[str, float]] = deque(maxlen=round(ON_ITS_WAY_S / TICK_S))

    def look(self) -> None:
        """Judge this moment."""
        bench = self._bench
        counted = [paper for paper in bench.papers if bench.counts(paper)]
        self._watts.append({paper.rating.node: paper.true_watts() for paper in counted})
        armed = frozenset(agent.name for agent in bench.armed())
        for name in sorted(self._limited - armed):
            if bench.agent(name).guarded and len(self._watts) == self._watts.maxlen:
                self._judge(name)
        self._limited = frozenset(name for name in armed if min(bench.paper(name).most_watts()) < MAX_WATTS)

    def _judge(self, name: str) -> None:
        others = min(sum(watts.values()) - watts.get(name, 0.0) for watts in self._watts)
        load = (others + NODE_MAX_WATTS) / self._bench.budget_watts
        if load > CURVE.borne_load:
            self._breach(f"{name} may take the row to {load:.3f} of its budget")
