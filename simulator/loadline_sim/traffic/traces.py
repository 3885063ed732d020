"""
Requests as a simulation takes them: when they came, how long their prompts and answers were.

Whoever reads or makes requests (`trace_files`, `client_windows`, `sessions`) ends with a `Trace`, and whoever
scales, routes or serves them begins with one.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadline_sim.traffic.prefixes import Prefixes


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival; one entry each, times in seconds after the trace's origin.

    `prefixes` are the blocks of their prompts, where it is known which prompts begin alike, and `priority`
    says where there are priorities who is served first: the lower number.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    prefixes: Prefixes | None = None
    priority: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.arrival_s.size)

    def later(self, delay_s: float) -> "Trace":
        """The same requests, all so much later."""
        return replace(self, arrival_s=self.arrival_s + delay_s)

    def from_first(self) -> "Trace":
        """The same requests, on a clock that is zero at the first of them."""
        return self.later(-float(self.arrival_s[0])) if len(self) else self

    def between(self, start_s: float, end_s: float) -> "Trace":
        """The requests of [start, end), their times still after the trace's origin."""
        first, last = np.searchsorted(self.arrival_s, [start_s, end_s])
        return self.select(np.arange(first, last))

    def select(self, indices: NDArray[np.intp] | NDArray[np.bool_]) -> "Trace":
        """Some of the requests, by their places or by a mask; the places must be in order of arrival."""
        places = np.flatnonzero(indices) if indices.dtype == np.bool_ else indices.astype(np.int64)
        prefixes = None if self.prefixes is None else self.prefixes.select(places)
        priority = None if self.priority is None else self.priority[places]
        prompt, output = self.prompt_tokens[places], self.output_tokens[places]
        return Trace(self.arrival_s[places], prompt, output, prefixes, priority)
