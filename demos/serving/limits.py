"""
What happens to the GPUs' limits over time: who is capped, and whether anybody got more.

`Raises` looks at the board many times a second while something goes on, a rollout of the
agents say, and counts the GPUs that at some moment could draw more than when it began: a
higher limit in force, a higher clock, or none. An agent that goes steps down to safe
limits and its successor takes back what was leased before; that is not more.
"""

import numpy as np

from testbed.fakegpu.board import Board
from testbed.limit_watchers import Watcher

EVERY_S = 0.05
FREE_MHZ = 1e9
NOISE_WATTS = 0.5
"""The tolerance for rounding: limits are sent in watts and stored in milliwatts."""


class Raises(Watcher):
    """Counts the GPUs of a board whose limit or clock rises above that at the start of the block."""

    def __init__(self, board: Board) -> None:
        super().__init__(self._compare, every_s=EVERY_S)
        self.looks = 0
        self._board = board
        self._watts, self._clocks = board.enforced_watts(), clocks_of(board)
        self._raised = np.zeros(self._watts.shape, dtype=bool)

    @property
    def count(self) -> int:
        """The number of these GPUs so far."""
        return int(self._raised.sum())

    def _compare(self) -> None:
        self._raised |= self._board.enforced_watts() > self._watts + NOISE_WATTS
        self._raised |= clocks_of(self._board) > self._clocks
        self.looks += 1


def clocks_of(board: Board) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """The highest clock that each GPU may take, in MHz, by node and GPU."""
    locked = board.locked_mhz().astype(np.float64)
    return np.where(locked == 0, FREE_MHZ, locked)
