"""
Whether a service meets its objectives, and since when that may be said.

A percentile is compared with its objective only as far as it is known: where the bucket
that it lies in holds the objective too, nobody can tell, and nothing is claimed. A
service meets its objectives if it meets all, and misses them if it misses one.

What is written into the API must not flap: `Debounced` lets a fact turn only after it has
held for a while. Pure; the times are the caller's.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from loadline_agent.workloads.histograms import Histogram, Quantile, quantile

HOLD_S = 15.0
"""How long a fact holds before it turns. Chosen: three scrapes agree."""

FORGET_S = 60.0
"""How long nothing must be known before that is said. Chosen: a pause of the traffic is no news."""

LEAST_SAMPLES = 20
"""Below so many a percentile is an anecdote. Chosen."""

JUST_MISSED = 1.01
"""A miss of which no more is known: the percentile lies above the engine's last bucket."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What a service is promised, in seconds; None where nothing is."""

    ttft_s: float | None = None
    itl_s: float | None = None
    percentile: int = 99

    @property
    def any(self) -> bool:
        """Whether anything is promised."""
        return self.ttft_s is not None or self.itl_s is not None

    def of_pool(self, *, prefill: bool) -> "Objectives":
        """What one pool can be held to: one that only prefills has no time between tokens."""
        return replace(self, itl_s=None) if prefill else self

    @property
    def samples(self) -> float:
        """How many it takes to speak of the percentile: one of them may lie beyond it."""
        return max(float(LEAST_SAMPLES), 100 / (100 - self.percentile))

    def missed(self, ttft: Histogram | None, itl: Histogram | None) -> float | None:
        """The worst of percentile ÷ objective; None if it isn't known."""
        asked = [(ttft, self.ttft_s), (itl, self.itl_s)]
        if ttft is not None and ttft.total and itl is not None and not itl.total:
            del asked[1]  # one token for each request, so there is no time between tokens
        return worst([self._ratio(found, objective_s) for found, objective_s in asked if objective_s])

    def quantile(self, histogram: Histogram | None) -> Quantile | None:
        """Where the percentile lies; None if there are too few samples."""
        if histogram is None or histogram.total < self.samples:
            return None
        return quantile(histogram, self.percentile)

    def _ratio(self, histogram: Histogram | None, objective_s: float) -> float | None:
        found = self.quantile(histogram)
        return ratio(found, objective_s) if found is not None else None


def ratio(found: Quantile, objective_s: float) -> float | None:
    """The percentile ÷ its objective, above 1 if missed; None if the bucket doesn't tell which."""
    if found.low < objective_s < found.high:
        return None
    if found.high <= objective_s:
        return found.estimate / objective_s
    return max(found.estimate / objective_s, JUST_MISSED)


def worst(ratios: Collection[float | None]) -> float | None:
    """The highest one if it is a miss or all are known; None else."""
    known = [one for one in ratios if one is not None]
    highest = max(known, default=None)
    missed = highest is not None and highest > 1.0
    return highest if missed or len(known) == len(ratios) else None


@dataclass(slots=True)
class _Held(Generic[T]):
    shown: T
    seen: T
    since_s: float


class Debounced(Generic[T]):
    """Facts by key, each shown as it was until its new value has held for `HOLD_S`.

    The first value is shown at once, except that None gives way to what becomes known only after
    it has held; what was known gives way to None after `FORGET_S`.
    """

    def __init__(self) -> None:
        self._held: dict[object, _Held[T]] = {}

    def see(self, key: object, value: T, now: float) -> T:
        """What to show of `key`, which is `value` now."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(value, value, now)
        if value != held.seen:
            held.seen, held.since_s = value, now
        if now - held.since_s >= (FORGET_S if value is None else HOLD_S):
            held.shown = value
        return held.shown

    def recall(self, key: object, value: T, now: float) -> None:
        """Show `value` of a key until another one has held from now on."""
        self._held[key] = _Held(value, value, now)

    def keep(self, keys: Iterable[object]) -> None:
        """Forget all others."""
        kept = set(keys)
        self._held = {key: held for key, held in self._held.items() if key in kept}


def seconds(ms: int | None) -> float | None:
    """Milliseconds of the API as seconds."""
    return ms / 1000 if ms is not None else None
