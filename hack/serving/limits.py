"""
What happens to the GPUs' limits over time: who is capped, and whether anybody got more.

`Raises` looks at the board many times a second while something goes on, a rollout of the
agents say, and counts the GPUs that at some moment could draw more than when it began: a
higher limit in force, a higher clock, or none. An agent that goes steps down to safe
limits and its successor takes back what was leased before; that is not more.
"""

import threading
from typing import Self

import numpy as np

from hack.fakegpu.board import Board

EVERY_S = 0.05
FREE_MHZ = 1e9
NOISE_WATTS = 0.5
"""Limits travel as watts and are kept as milliwatts."""


class Raises:
    """Counts the GPUs of a board that get more than they had when the block began."""

    def __init__(self, board: Board) -> None:
        self.looks = 0
        self._raised = np.zeros(board.enforced_watts().shape, dtype=bool)
        self._board = board
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raises", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def count(self) -> int:
        """How many GPUs that were."""
        return int(self._raised.sum())

    def _run(self) -> None:
        watts, clocks = self._board.enforced_watts(), clocks_of(self._board)
        while not self._stop.wait(EVERY_S):
            self._raised |= self._board.enforced_watts() > watts + NOISE_WATTS
            self._raised |= clocks_of(self._board) > clocks
            self.looks += 1


def clocks_of(board: Board) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """The highest clock that each GPU may take, in MHz, by node and GPU."""
    locked = board.locked_mhz().astype(np.float64)
    return np.where(locked == 0, FREE_MHZ, locked)
