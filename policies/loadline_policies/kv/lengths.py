"""
How many tokens requests will produce, from how many those before them did.

The last lengths of a service are a sample of the next ones. For a request that has produced some tokens
already, only the longer ones of them count (Past-Future scheduler, arXiv 2507.10150). A draw from the sample
takes the inverse of its distribution function, linear between neighbours, as the paper's published code does.

Chosen here: while fewer than `least` lengths are known, `initial_tokens` stands for each missing one, so a
service without history is admitted cautiously. And a request that is about as long as the longest one known
is expected to become twice as long at most: its own limit is often the model's whole context, and one such
draw would refuse everyone else.
"""

from collections import deque
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from loadline_policies.kv.peaks import Ints
from loadline_policies.kv.predicted_memory import LONGEST_WINDOW

Floats = NDArray[np.float64]


class LengthHistory:
    """The numbers of tokens that the last `window` requests produced."""

    def __init__(self, *, window: int, least: int, initial_tokens: int) -> None:
        self._recent: deque[int] = deque(maxlen=LONGEST_WINDOW)
        self.retune(window=window, least=least, initial_tokens=initial_tokens)

    def retune(self, *, window: int, least: int, initial_tokens: int) -> None:
        """Go by other settings from now on; a longer window takes in lengths from before the change."""
        self._window = window
        self._least, self._initial_tokens = min(least, window), initial_tokens
        self._sorted: Ints | None = None

    @property
    def known(self) -> int:
        """How many lengths are in the window."""
        return min(len(self._recent), self._window)

    @property
    def is_warm(self) -> bool:
        """Whether no initial value stands for a length any more."""
        return self.known >= self._least

    def add(self, output_tokens: int) -> None:
        """Add the length of a request that has ended by itself; one that was aborted says nothing."""
        self._recent.append(output_tokens)
        self._sorted = None

    def totals(self, produced: Ints, most: Ints, uniforms: Floats) -> Ints:
        """Draw how many tokens each request will have produced at its end, from `produced` up to `most`.

        `produced` and `most` have shape [requests], `uniforms`, independent draws from [0, 1), and what is
        returned have shape [draws, requests].
        """
        lengths = self._in_order()
        first = np.searchsorted(lengths, produced, side="right")
        longer = len(lengths) - first
        place = uniforms * (longer + 1)
        whole = place.astype(np.int64)
        longest = lengths[-1] if len(lengths) else 0
        beyond = 2 * np.maximum(np.maximum(produced, longest), 1)
        padded = np.append(lengths, longest)
        lower = np.where(whole == 0, produced, padded[first + whole - 1])
        upper = np.where(whole == longer, beyond, padded[np.minimum(first + whole, len(lengths))])
        drawn = np.rint(lower + (upper - lower) * (place - whole)).astype(np.int64)
        return np.maximum(np.minimum(drawn, most), produced)

    def _in_order(self) -> Ints:
        if self._sorted is None:
            missing = max(0, self._least - self.known)
            recent = islice(reversed(self._recent), self._window)
            self._sorted = np.sort(np.array([*recent, *[self._initial_tokens] * missing], dtype=np.int64))
        return self._sorted
