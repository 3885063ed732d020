"""
Whether a service meets its objectives, and since when that may be said.

A percentile is compared with its objective only as far as it is known: where the bucket
that it lies in holds the objective too, nobody can tell, and nothing is claimed. A
service meets its objectives if it meets all, and misses them if it misses one.

Pure. What of it is written into the API goes through `debounced_facts`, or it would flap.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from loadline_agent.workloads.histograms import INFINITE, Histogram, Quantile, quantile
from loadline_policies.experts.service_loads import Pressure

LEAST_SAMPLES = 20
"""Below so many a percentile is an anecdote. Chosen."""

JUST_MISSED = 1.01
"""A miss of which no more is known: the percentile lies above the engine's last bucket."""


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
        return worst([self._ratio(found, objective_s) for found, objective_s in self._asked(ttft, itl)])

    def pressure(self, ttft: Histogram | None, itl: Histogram | None) -> Pressure | None:
        """The same, with the bounds of what is known of it; None if nothing is asked or known.

        Where one objective is missed, whatever isn't known of the other doesn't matter.
        """
        asked = self._asked(ttft, itl)
        found = [self.quantile(histogram) for histogram, _ in asked]
        known = [
            pressure(one, objective_s)
            for one, (_, objective_s) in zip(found, asked, strict=True)
            if one is not None
        ]
        if not known or (len(known) < len(asked) and not any(one.missed for one in known)):
            return None
        return Pressure(
            least=max(one.least for one in known),
            estimate=max(one.estimate for one in known),
            most=max(one.most for one in known),
        )

    def quantile(self, histogram: Histogram | None) -> Quantile | None:
        """Where the percentile lies; None if there are too few samples."""
        if histogram is None or histogram.total < self.samples:
            return None
        return quantile(histogram, self.percentile)

    def _asked(self, ttft: Histogram | None, itl: Histogram | None) -> list[tuple[Histogram | None, float]]:
        """The latencies that have an objective, each with it in seconds."""
        asked = [(ttft, self.ttft_s), (itl, self.itl_s)]
        if ttft is not None and ttft.total and itl is not None and not itl.total:
            del asked[1]  # one token for each request, so there is no time between tokens
        return [(histogram, objective_s) for histogram, objective_s in asked if objective_s]

    def _ratio(self, histogram: Histogram | None, objective_s: float) -> float | None:
        found = self.quantile(histogram)
        return ratio(found, objective_s) if found is not None else None


def ratio(found: Quantile, objective_s: float) -> float | None:
    """The percentile ÷ its objective, above 1 if missed; None if the bucket doesn't tell which."""
    one = pressure(found, objective_s)
    return one.estimate if one.missed or one.met else None


def pressure(found: Quantile, objective_s: float) -> Pressure:
    """The percentile ÷ its objective, and the bounds of its bucket.

    Above the last bucket it is a miss, or may be one by an unknown amount; `most` stays finite.
    """
    missed = found.low >= objective_s
    estimate = max(found.estimate / objective_s, JUST_MISSED if missed else 0.0)
    most = max(JUST_MISSED if found.high == INFINITE else found.high / objective_s, estimate)
    least = min(found.low / objective_s, estimate)
    return Pressure(least=least, estimate=estimate, most=most)


def worst(ratios: Collection[float | None]) -> float | None:
    """The highest one if it is a miss or all are known; None else."""
    known = [one for one in ratios if one is not None]
    highest = max(known, default=None)
    missed = highest is not None and highest > 1.0
    return highest if missed or len(known) == len(ratios) else None


def seconds(ms: int | None) -> float | None:
    """Milliseconds of the API as seconds."""
    return ms / 1000 if ms is not None else None
