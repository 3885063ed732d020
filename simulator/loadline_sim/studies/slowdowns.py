"""
Splitwise's nine objectives: how much slower than on an idle DGX-A100 requests may be.

The times to the first token, between tokens and to the last are each divided by what an idle server with
eight A100 takes for a request of this length; the median, the 90th and the 99th percentile of that are
bounded. A quantile that falls on a request that was never done is unknown, and misses its objective.

The divisors are those of splitwise-sim's notebook: its time between tokens counts all tokens of an answer,
the first one too, and an idle server's is that of a batch of as many tokens as the prompt has.

Source: Patel et al., ISCA 2024, section VI; Mutinifni/splitwise-sim 8f99e7d, `notebooks/plots.ipynb` and
`notebooks/perf_model.py`.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.splitwise_fleets import Dgx, fleet
from loadline_sim.traffic.traces import Trace


@dataclass(frozen=True, slots=True)
class Objective:
    """The most that a percentile of one latency's slowdown may be."""

    latency: str
    percent: int
    most: float

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.latency} p{self.percent}"


OBJECTIVES: Final = tuple(
    Objective(latency, percent, most)
    for latency, mosts in (("TTFT", (2.0, 3.0, 6.0)), ("TBT", (1.25, 1.5, 5.0)), ("E2E", (1.25, 1.5, 5.0)))
    for percent, most in zip((50, 90, 99), mosts, strict=True)
)
"""All nine have to be kept."""


MOST: Final = max(one.most for one in OBJECTIVES)
"""A request that is later than this keeps none of them."""


class Idle(NamedTuple):
    """Seconds of each request on an idle server: to the first token, between tokens, to the last."""

    ttft_s: Floats
    tbt_s: Floats
    e2e_s: Floats


def idle_of(trace: Trace) -> Idle:
    """What an idle server with eight A100 takes for each request."""
    idle = fleet([Dgx.A100], longest_prompt=int(trace.prompt_tokens.max()))
    ttft_s, tbt_s = (table[0][trace.prompt_tokens] for table in (idle.prompt_s, idle.token_s))
    return Idle(ttft_s, tbt_s, ttft_s + (trace.output_tokens - 1) * tbt_s)


def slowdowns(trace: Trace, outcomes: Outcomes) -> tuple[float | None, ...]:
    """The slowdown of each objective; None where it falls on a request that wasn't done."""
    idle = idle_of(trace)
    by_latency = {
        "TTFT": outcomes.ttft_s / idle.ttft_s,
        "TBT": (outcomes.response_s - outcomes.ttft_s) / trace.output_tokens / idle.tbt_s,
        "E2E": outcomes.response_s / idle.e2e_s,
    }
    return tuple(_percentile(by_latency[one.latency], one.percent) for one in OBJECTIVES)


def pressure(found: tuple[float | None, ...]) -> tuple[float | None, Objective]:
    """The slowdown that is nearest to its objective or furthest beyond it, divided by it; and that objective.

    Up to 1 all are kept. None is unknown, and more than any number.
    """
    at = max(range(len(OBJECTIVES)), key=lambda place: _over(found[place], OBJECTIVES[place]))
    value = found[at]
    return (None if value is None else value / OBJECTIVES[at].most), OBJECTIVES[at]


def are_kept(found: tuple[float | None, ...]) -> bool:
    """Whether all objectives are."""
    worst, _ = pressure(found)
    return worst is not None and worst <= 1.0


def _over(value: float | None, objective: Objective) -> float:
    return np.inf if value is None else value / objective.most


def _percentile(values: Floats, percent: int) -> float | None:
    """By lines between the values, those that aren't there last."""
    ordered = np.sort(values)  # NaN comes last
    at = (values.size - 1) * percent / 100.0
    low, high = ordered[int(np.floor(at))], ordered[int(np.ceil(at))]
    return None if np.isnan(high) else float(low + (high - low) * (at % 1.0))
