"""
The leader is killed in the moment in which the true load is above what the breaker bears.

That is the worst one: nobody has told the nodes yet, and all of them go on until their leases are over.
Killed by SIGKILL and by process id, at the tick of the plant at which it has come.
"""

from typing import Final

from loadline_policies.power.safety.breakers import Curve
from testbed.live_rows.rows import CALM, PEAK, STEEP
from testbed.live_rows.stages import Stage

KILLS: Final = 10
RESTARTED_AFTER_S: Final = 5.0
"""What a kubelet takes to start a container that died."""

LONG_AWAY_S: Final = 15.0
"""What it takes longer every third time: another one leads by then."""

FREE_WITHIN_S: Final = 120.0
"""After a death: 20 s until somebody leads, and as long as a hot breaker takes to cool."""

QUICK: Final = Curve(points=STEEP.points, cooling_s=120.0)
"""Steep, and cool again within minutes: else the row is held as hot for longer than the play may take."""


def leader_killed(stage: Stage) -> None:
    """Whoever leads is killed in the moment in which the true load is above what the breaker bears."""
    killer = LeaderKiller(stage)
    for number in range(1, KILLS + 1):
        stage.row.plant.demand(CALM)
        if not stage.judge.until(killer.ready, within_s=FREE_WITHIN_S):
            stage.tell(f"the row isn't free again {FREE_WITHIN_S:g} s after death {number - 1}")
            break
        killer.armed = True
        stage.demand(PEAK, for_s=RESTARTED_AFTER_S)
        stage.tell(f"death {number} of a leader")
        stage.judge.watch(LONG_AWAY_S if number % 3 == 0 else 0.0)
        killer.restart()
        stage.judge.watch(5.0)
    stage.demand(CALM, for_s=25.0)
    stage.show("leaders_killed", killer.kills >= KILLS, f"{killer.kills} times, at a load of {killer.loads}")


class LeaderKiller:
    """Kills the leader at the tick at which the row is above what its breaker bears, once it is armed."""

    def __init__(self, stage: Stage) -> None:
        self.armed, self.kills = False, 0
        self.loads: list[float] = []
        self._stage, self._killed = stage, ""
        stage.row.plant.hooks.append(self._look)

    def ready(self) -> bool:
        """Whether somebody leads and the row is free."""
        truth = self._stage.judge.truth
        led = truth is not None and truth.led_s > 5.0
        return (
            led and all(since is not None for since in self._stage.row.up_s.values()) and self._stage.row.free
        )

    def restart(self) -> None:
        """Start the killed agent again."""
        self.armed = False
        if self._killed:
            self._stage.row.start(self._killed)
            self._killed = ""

    def _look(self) -> None:
        row, truth = self._stage.row, self._stage.judge.truth
        if not self.armed or row.plant.load <= row.curve.borne_load or truth is None or not truth.leader:
            return
        self.armed, self._killed = False, truth.leader
        self.kills += 1
        self.loads.append(round(row.plant.load, 2))
        row.kill(truth.leader)
