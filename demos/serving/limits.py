"""
Checks the fake board for GPUs that were allowed more power than before.

`Raises` reads the board many times a second during an operation, such as a rollout of the agents,
and counts the GPUs that at some moment had a higher limit or a higher clock than at its start. An
agent that ends steps its node down to safe limits, and its successor restores the limits leased
before; that doesn't count.
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
