"""
The requests that engines are compared with: when they arrive, how long prompts and answers are.

Two are recorded, the Azure traces of 2023: a seed picks the part of the trace, whose gaps are stretched
alike until it has the rate that is asked for, so that its bursts stay. Two are drawn, with Poisson arrivals:
answers as long as those of a reasoning model, and a mix of short and long tasks. A recorded request has no
text, so its prompt says nothing but its length. The mix's tasks have an instruction each, which a classifier
can learn.

Clients seldom know how long an answer will be: each request allows `most_tokens`, many times the mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from types import MappingProxyType
from typing import Final

import numpy as np

from loadline_policies.kv.peaks import Ints
from loadline_sim.traffic.recordings import azure_2023

INSTRUCTION_TOKENS: Final = 8
FIRST_WORD: Final = 100
"""Token ids below are the driver's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request. Its answer ends by itself after `output_tokens`; a scheduler knows `most_tokens` alone."""

    request_id: str
    arrived_s: float
    prompt_tokens: int
    output_tokens: int
    most_tokens: int
    task: int = 0

    def prompt(self) -> list[int]:
        """Token ids: the task's instruction, words that no other request has, and filling."""
        number = int(self.request_id)
        own = [FIRST_WORD + 64 + number // 4096, FIRST_WORD + 64 + number % 4096]
        words = [FIRST_WORD + self.task] * INSTRUCTION_TOKENS + own
        return (words + [FIRST_WORD - 1] * self.prompt_tokens)[: self.prompt_tokens]


@dataclass(frozen=True, slots=True)
class Sizes:
    """When requests come, in any unit that begins at 0, and how long they are; arrays of equal length."""

    times: np.ndarray[tuple[int], np.dtype[np.float64]]
    prompts: Ints
    outputs: Ints
    tasks: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kind of requests. `requests` of them make a run, and the knee is looked for from `begin_rate` on."""

    name: str
    requests: int
    begin_rate: float
    most_tokens: int
    sizes: Callable[[np.random.Generator, int], Sizes]

    def drawn(self, *, rate: float, seed: int, requests: int | None = None) -> list[Arrival]:
        """So many requests at `rate` a second; the same sizes at each rate for one seed."""
        count = requests or self.requests
        sizes = self.sizes(np.random.default_rng(seed), count)
        arrived = (sizes.times - sizes.times[0]) * ((count - 1) / max(np.ptp(sizes.times), 1e-9) / rate)
        return [
            Arrival(
                request_id=str(number),
                arrived_s=float(arrived[number]),
                prompt_tokens=int(sizes.prompts[number]),
                output_tokens=int(sizes.outputs[number]),
                most_tokens=self.most_tokens,
                task=int(sizes.tasks[number]),
            )
            for number in range(count)
        ]


def _azure(service: str) -> Callable[[np.random.Generator, int], Sizes]:
    def sizes(rng: np.random.Generator, count: int) -> Sizes:
        trace = azure_2023()[service]
        first = int(rng.integers(len(trace) - count))
        part = slice(first, first + count)
        return Sizes(
            trace.arrival_s[part],
            np.maximum(trace.prompt_tokens[part], 1),
            np.maximum(trace.output_tokens[part], 1),
            np.zeros(count, dtype=np.int64),
        )

    return sizes


def _reasoning(rng: np.random.Generator, count: int) -> Sizes:
    """Log-normal through the medians and ninth deciles of DeepSeek-R1's requests in ServeGen's data."""
    return Sizes(
        _poisson(rng, count),
        _log_normal(rng, count, median=208, ninth_decile=2092, most=4096),
        _log_normal(rng, count, median=792, ninth_decile=3432, most=4096),
        np.zeros(count, dtype=np.int64),
    )


def _bimodal(rng: np.random.Generator, count: int) -> Sizes:
    """Seven in ten are short tasks. Chosen; both ranges are even."""
    is_long = rng.random(count) < 0.3
    return Sizes(
        _poisson(rng, count),
        np.where(is_long, rng.integers(200, 800, count), rng.integers(100, 400, count)),
        np.where(is_long, rng.integers(600, 1400, count), rng.integers(20, 100, count)),
        is_long.astype(np.int64),
    )


def _poisson(rng: np.random.Generator, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.cumsum(rng.exponential(size=count))


def _log_normal(
    rng: np.random.Generator, count: int, *, median: float, ninth_decile: float, most: int
) -> Ints:
    """Whole lengths from 1 to `most`; what is longer is cut off there."""
    sigma = log(ninth_decile / median) / 1.2816  # the ninth decile of the standard normal distribution
    return np.clip(np.rint(rng.lognormal(log(median), sigma, count)), 1, most).astype(np.int64)


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        one.name: one
        for one in (
            Workload(
                name="azure conversation",
                requests=1100,
                begin_rate=17.0,
                most_tokens=4096,
                sizes=_azure("chat"),
            ),
            Workload(
                name="azure code", requests=1200, begin_rate=13.0, most_tokens=4096, sizes=_azure("code")
            ),
            Workload(name="reasoning", requests=260, begin_rate=2.8, most_tokens=4096, sizes=_reasoning),
            Workload(name="bimodal", requests=800, begin_rate=20.0, most_tokens=4096, sizes=_bimodal),
        )
    }
)
