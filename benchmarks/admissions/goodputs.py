"""
Which requests were served well enough, and what that is worth.

Goodput is the output tokens of requests that met their objectives, by the second of the time in which they
arrived. Two objectives are looked at. The one that is judged is Past-Future's for models of this size (arXiv
2507.10150): the first token within 10 s, and never more than 1.5 s between two. The other, for interactive
use, is MLPerf's for Llama-3.1-8B: the first token within 2 s, and 100 ms a token on average (source:
unverified).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

WARM_UP_SHARE: Final = 0.2
"""Of the requests, the first ones aren't judged: the engine is empty, and no policy has a history."""

RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request as its client saw it; times on the run's clock."""

    arrived_s: float
    prompt_tokens: int
    output_tokens: int
    first_s: float
    last_s: float
    longest_gap_s: float
    preemptions: int

    @property
    def ttft_s(self) -> float:
        return self.first_s - self.arrived_s

    @property
    def ttlt_s(self) -> float:
        """Until the last token."""
        return self.last_s - self.arrived_s

    @property
    def token_s(self) -> float:
        """Mean time of a token after the first."""
        return (self.last_s - self.first_s) / max(1, self.output_tokens - 1)


Objective = Callable[[Served], bool]


def is_smooth(one: Served) -> bool:
    """Past-Future's objective."""
    return one.ttft_s <= 10.0 and one.longest_gap_s <= 1.5


def is_interactive(one: Served) -> bool:
    """MLPerf's objective."""
    return one.ttft_s <= 2.0 and one.token_s <= 0.1


def judged(served: Sequence[Served]) -> Sequence[Served]:
    """Those after the warm-up, in order of arrival."""
    return served[round(WARM_UP_SHARE * len(served)) :]


def attained(served: Sequence[Served], objective: Objective) -> float:
    """The share of requests that met it."""
    return sum(map(objective, served)) / len(served)


def goodput(served: Sequence[Served], objective: Objective) -> float:
    """Output tokens of requests that met it, by the second."""
    span_s = served[-1].arrived_s - served[0].arrived_s
    return sum(one.output_tokens for one in served if objective(one)) / span_s


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of two arms over the same seeds, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """The ratio of the sums over the seeds; seeds are drawn again and again for the interval.

    None where theirs is nothing at all.
    """
    pairs = np.array([ours, theirs])
    if not pairs[1].sum():
        return None
    places = np.random.default_rng(0).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    above, below = pairs[:, places].sum(axis=2)
    drawn = above[below > 0] / below[below > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Ratio(float(pairs[0].sum() / pairs[1].sum()), float(low), float(high))
