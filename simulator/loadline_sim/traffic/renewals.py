"""
Arrivals of many sources whose rates change window by window, in pieces of bounded size.

A source is a renewal process in operational time: its clock runs by expected requests, and its gaps have a
mean of 1 on it. So rates bend a source's bursts in time but don't change how many requests are expected in
a window, which is exactly rate × length; the shape of its gaps says how they bunch. `gap_laws` has the first
gap, and what becomes of a gap that is running when the shape changes.

The next arrivals of all sources lie in a heap, and a piece is filled from it: no window is ever held as a
whole, and pieces of any size have the same requests. Their lengths are drawn from another trace, prompt
and answer of a request together.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats, Ints
from loadline_sim.compiled import compiled
from loadline_sim.traffic import gap_laws
from loadline_sim.traffic.traces import Trace

PIECE_REQUESTS: Final = 1_000_000
"""Requests of a piece unless asked otherwise: 24 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateWindows:
    """What sources send: rows are sources, columns are windows of `window_s` from 0 on.

    `rates` are per second. Where `weibull` is set, gaps are of that law, else Gamma; `shapes` matter only
    where the rate isn't 0.
    """

    window_s: float
    rates: Floats
    shapes: Floats
    weibull: NDArray[np.bool_]


class _Sources(NamedTuple):
    """For compiled code: expected requests of each window, laws, and when it ends."""

    window_s: float
    until_s: float
    windows: int
    expected: Floats
    shapes: Floats
    weibull: NDArray[np.bool_]


class _Progress(NamedTuple):
    """For compiled code: each source's window, what it used of it, its next arrival; sources by arrival."""

    window: Ints
    used: Floats
    next_s: Floats
    heap: Ints


def arrivals(
    rates: RateWindows,
    *,
    lengths: Trace,
    seed: np.random.SeedSequence,
    until_s: float = math.inf,
    piece_requests: int = PIECE_REQUESTS,
) -> Iterator[Trace]:
    """Requests before `until_s` by arrival, in pieces of `piece_requests` but for the last, which has fewer.

    Without `until_s` they end with the last window; beyond it windows begin again with the first.
    """
    if not len(lengths):
        raise InvalidInput("lengths", 0, fix="give a trace with at least one request to draw lengths from")
    if piece_requests < 1:
        raise InvalidInput("piece_requests", piece_requests, fix="give 1 or more")
    for_gaps, for_lengths = map(np.random.default_rng, seed.spawn(2))
    state = _started(rates, until_s, for_gaps)
    arrival_s = np.empty(piece_requests)
    filled = piece_requests
    while filled == piece_requests:
        filled = _fill(arrival_s, state, for_gaps)
        drawn = for_lengths.integers(0, len(lengths), filled)
        yield Trace(arrival_s[:filled].copy(), lengths.prompt_tokens[drawn], lengths.output_tokens[drawn])


def _started(rates: RateWindows, until_s: float, dice: np.random.Generator) -> tuple[_Sources, _Progress]:
    sources, columns = rates.rates.shape
    state = (
        _Sources(
            window_s=rates.window_s,
            until_s=until_s,
            windows=columns if until_s == math.inf else math.ceil(until_s / rates.window_s),
            expected=rates.rates * rates.window_s,
            shapes=rates.shapes,
            weibull=rates.weibull,
        ),
        _Progress(
            np.zeros(sources, np.int64), np.zeros(sources), np.zeros(sources), np.zeros(sources, np.int64)
        ),
    )
    _draw_first(state, dice)
    progress = state[1]
    progress.heap[:] = np.argsort(progress.next_s, kind="stable")
    return state


@compiled
def _draw_first(state: tuple[_Sources, _Progress], dice: np.random.Generator) -> None:
    sources, progress = state
    for source in range(progress.window.size):
        window = _next_used(sources, source, 0)
        progress.window[source] = window
        left = 0.0
        if window < sources.windows:
            left = gap_laws.first_drawn(*_law(sources, source, window), dice)
        _advance(state, source, left)


@compiled
def _fill(arrival_s: Floats, state: tuple[_Sources, _Progress], dice: np.random.Generator) -> int:
    """Write the next arrivals of all sources; returns how many there were."""
    sources, progress = state
    filled = 0
    while filled < arrival_s.size and progress.heap.size:
        source = progress.heap[0]
        if progress.next_s[source] >= sources.until_s:
            break
        arrival_s[filled] = progress.next_s[source]
        filled += 1
        _advance(state, source, gap_laws.drawn(*_law(sources, source, progress.window[source]), dice))
        _sink(progress.heap, progress.next_s)
    return filled


@compiled
def _advance(state: tuple[_Sources, _Progress], source: int, gap: float) -> None:
    """Move a source on by a gap, over as many windows as it takes."""
    sources, progress = state
    expected = sources.expected[source]
    window, used = progress.window[source], progress.used[source]
    while window < sources.windows and used + gap >= expected[window % expected.size]:
        gap -= expected[window % expected.size] - used
        law = _law(sources, source, window)
        window, used = _next_used(sources, source, window + 1), 0.0
        if window < sources.windows:
            gap = gap_laws.carried(gap, law, _law(sources, source, window))
    progress.window[source], progress.used[source] = window, used + gap
    progress.next_s[source] = np.inf
    if window < sources.windows:
        share = (used + gap) / expected[window % expected.size]
        progress.next_s[source] = sources.window_s * (window + share)


@compiled
def _law(sources: _Sources, source: int, window: int) -> tuple[bool, float]:
    """Whether gaps are Weibull's, and their shape."""
    column = window % sources.expected.shape[1]
    return sources.weibull[source, column], sources.shapes[source, column]


@compiled
def _next_used(sources: _Sources, source: int, window: int) -> int:
    """This window or the first after it in which requests are expected."""
    columns = sources.expected.shape[1]
    while window < sources.windows and sources.expected[source, window % columns] <= 0.0:
        window += 1
    return window


@compiled
def _sink(heap: Ints, next_s: Floats) -> None:
    """Put the first source, whose next arrival has changed, to its place among the others."""
    at, source = 0, heap[0]
    while 2 * at + 1 < heap.size:
        child = 2 * at + 1
        if child + 1 < heap.size and next_s[heap[child + 1]] < next_s[heap[child]]:
            child += 1
        if next_s[heap[child]] >= next_s[source]:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = source
