"""
The driver of a node, and then that of the leader's, is loaded anew under an armed row that brakes.

All limits of the node are gone with it: its GPUs draw what is asked of them until somebody limits them
again, also while there is no driver, which is more than any GPU does. Agent and guard have the old
driver open and get no answer until each opens the new one.
"""

from typing import Final

import numpy as np

from loadline_agent.hardware.driver_watches import BLIND_AFTER_S, RELOAD_EVERY_S
from testbed.fakegpu.board import boottime
from testbed.live_rows.domain_statements import CAPPED_WATTS
from testbed.live_rows.rows import CALM, MAX_WATTS, NODES, PEAK
from testbed.live_rows.stages import Stage
from testbed.live_rows.survivors import Survivors

AWAY_S: Final = 7.0
"""Longer than until the agent looks for another driver, which it does again ten seconds later."""

LIMITED_WITHIN_S: Final = max(BLIND_AFTER_S, RELOAD_EVERY_S) + 1.0
READY_AGAIN_S: Final = 5.0
SETTLED_S: Final = 32.0
"""S1 is judged again 40 s after a fault."""


def driver_reload(stage: Stage) -> None:
    """A follower's driver is back at once, the leader's after seconds; all at the peak."""
    survivors = Survivors(stage.row)
    stage.demand(PEAK, for_s=12.0)
    truth = stage.judge.truth
    leader = truth.leader if truth is not None else ""
    follower = next(node for node in NODES if node != leader)
    Reload(stage, follower, name="a_follower").play(away_s=0.0)
    Reload(stage, leader or NODES[-1], name="the_leader").play(away_s=AWAY_S)
    stage.demand(PEAK, for_s=SETTLED_S)
    load = stage.row.plant.load
    stage.show("within_budget_at_the_end", load <= 1.001, f"the true load is {load:.3f}")
    stage.demand(CALM, for_s=8.0)
    survivors.show(stage)


class Reload:
    """One node's driver, gone and back; sees when the node is limited again, and what the row drew."""

    def __init__(self, stage: Stage, node: str, *, name: str) -> None:
        self._stage, self._node, self._name = stage, node, name
        self._index = NODES.index(node)
        self._gone_s = self._back_s = boottime()
        self._limited_s: float | None = None
        self._loads: list[float] = []
        self._unready: list[tuple[float, str]] = []

    def play(self, *, away_s: float) -> None:
        """Let it happen, and note what was seen."""
        stage, outages = self._stage, self._stage.row.outages
        stage.tell(f"the driver of {self._node} is unloaded")
        self._gone_s = boottime()
        outages.unload_driver(self._node)
        stage.row.plant.hooks.append(self._look)
        if away_s:
            self._watch(away_s)
        stage.tell(f"the driver of {self._node} is loaded again")
        outages.load_driver(self._node)
        self._back_s = boottime()
        self._watch(LIMITED_WITHIN_S + READY_AGAIN_S)
        stage.row.plant.hooks.remove(self._look)
        self._show()

    def _watch(self, seconds: float) -> None:
        end_s = boottime() + seconds
        self._stage.judge.until(lambda: self._asked() and boottime() >= end_s, within_s=seconds + 2.0)

    def _asked(self) -> bool:
        """Ask the agent whether it is ready, and go on."""
        why = self._stage.row.members[self._node].unready()
        if not self._unready or self._unready[-1][1] != why:
            self._unready.append((boottime() - self._gone_s, why))
        return True

    def _look(self) -> None:
        """In the plant's thread, at each of its ticks."""
        if self._limited_s is not None:
            return
        row, index = self._stage.row, self._index
        self._loads.append(row.plant.load)
        gpus, forgotten_ns = row.board.gpus[index], row.board.nodes["forgotten_ns"][index]
        written = bool((gpus["last_write_ns"] > forgotten_ns).all())
        if written and bool(np.all(row.board.enforced_watts()[index] < MAX_WATTS - CAPPED_WATTS)):
            self._limited_s = boottime()

    def _show(self) -> None:
        stage, name = self._stage, self._name
        limited = self._limited_s is not None and self._limited_s - self._back_s <= LIMITED_WITHIN_S
        took = "never"
        if self._limited_s is not None:
            since_s = (self._limited_s - self._gone_s, self._limited_s - self._back_s)
            took = f"{since_s[0]:.1f} s after the driver went, {since_s[1]:.1f} s after it was back"
        drew = f"the row drew {min(self._loads):.3f} to {max(self._loads):.3f} of its budget until then"
        stage.show(f"{name}: limited_again", limited, f"{took}; {drew}")
        why = [text for _, text in self._unready if "no GPU answers" in text]
        ready = self._unready[-1][1] == ""
        told = "; ".join(f"{at_s:.1f} s: {text or 'ready'}" for at_s, text in self._unready)
        stage.show(f"{name}: readyz_said_why", bool(why) and ready, told)
        truth = stage.judge.truth
        times = truth.forgotten_s[self._node] if truth is not None else []
        stage.show(f"{name}: limits_were_forgotten", bool(times), f"rises by a driver: {len(times)}")
