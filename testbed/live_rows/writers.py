"""
Who moved a limit, seen twenty times a second: by the process id that the driver notes with each write.

Only an agent that holds a lease may raise one. A rise by a guard, by an agent whose deadline is over,
or by nobody who is known breaks a promise; one by a stranger is what it is, and is counted. So is the one
that nobody makes: a driver that is loaded anew has forgotten the limits, and each GPU is at its default
until somebody writes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from testbed.fakegpu.board import boottime
from testbed.live_rows.plants import Floats
from testbed.live_rows.rows import Row

LATE_S: Final = 0.2
"""By how much a look may come after the write that it sees."""

LEAST_WATTS: Final = 0.5


class Writers:
    """Looks at every tick of the plant. `rises` are those that nobody may make.

    By node, `foreign_s` is when a stranger wrote, and `forgotten_s` when limits rose since the driver went.
    """

    def __init__(self, row: Row) -> None:
        self.rises: list[str] = []
        self.foreign_s: dict[str, list[float]] = {node: [] for node in row.nodes}
        self.forgotten_s: dict[str, list[float]] = {node: [] for node in row.nodes}
        self._row = row
        self._before = row.board.requested_watts()
        row.plant.hooks.append(self.look)

    def look(self) -> None:
        """See what has moved since the last look."""
        requested = self._row.board.requested_watts()
        moved = abs(requested - self._before) > LEAST_WATTS
        if moved.any():
            forgotten = self._forgotten(requested) & moved
            for index in np.flatnonzero(forgotten.any(axis=1)):
                self.forgotten_s[self._row.nodes[index]].append(boottime())
            moved &= ~forgotten
            for index in np.flatnonzero(moved.any(axis=1)):
                gpus = [int(gpu) for gpu in np.flatnonzero(moved[index])]
                rise = max(float(requested[index, gpu] - self._before[index, gpu]) for gpu in gpus)
                self._judge(int(index), gpus[0], rise_watts=rise)
        self._before = requested

    def _forgotten(self, requested: Floats) -> npt.NDArray[np.bool_]:
        """GPUs at their default to which nobody has written since their driver went."""
        board = self._row.board
        unwritten = board.gpus["last_write_ns"] < board.nodes["forgotten_ns"][:, np.newaxis]
        return np.asarray(unwritten & (requested == board.default_watts))

    def _judge(self, index: int, gpu: int, *, rise_watts: float) -> None:
        row, now = self._row, boottime()
        node = row.nodes[index]
        writer = int(row.board.gpus["last_writer_pid"][index, gpu])
        if writer == row.strangers.get(node):
            self.foreign_s[node].append(now)
            return
        if rise_watts <= LEAST_WATTS:
            return
        record = row.record(node)
        member = row.members[node]
        if writer == member.guard.pid:
            self._breach(node, now, rise_watts, by="its guard")
        elif writer != member.agent.pid:
            self._breach(node, now, rise_watts, by=f"process {writer}, which is nobody's")
        elif record is not None and record.armed and record.deadline_s < now - LATE_S:
            self._breach(node, now, rise_watts, by=f"its agent, {now - record.deadline_s:.1f} s too late")

    def _breach(self, node: str, now: float, rise_watts: float, *, by: str) -> None:
        at_s = now - self._row.began_s
        self.rises.append(f"{at_s:.1f} s: a limit of {node} was raised by {rise_watts:.0f} W by {by}")
