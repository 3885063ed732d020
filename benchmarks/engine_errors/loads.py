"""
The requests that a real engine gets: two mixes of lengths at three loads each, and one load to fit a model
on.

An engine on one core computes a prompt's token in about a millisecond and a step of answers in twenty, so
some two or three requests a second are what it can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.traffic.traces import Trace

REQUESTS: Final = 200
MOST_PROMPT, MOST_OUTPUT = 600, 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Medians of log-normal lengths, and their spread as the deviation of the logarithm."""

    prompt: float
    output: float
    spread: float = 0.7


MIXES: Final[Mapping[str, Mix]] = {"chat": Mix(prompt=110, output=36), "code": Mix(prompt=260, output=10)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests of a mix that come independently, so many a second on average."""

    name: str
    mix: str
    per_s: float
    seed: int

    def trace(self) -> Trace:
        """The same requests each time."""
        dice, mix = np.random.default_rng(self.seed), MIXES[self.mix]
        arrival_s = np.cumsum(dice.exponential(1.0 / self.per_s, REQUESTS))

        def lengths(median: float, most: int) -> Ints:
            drawn = np.exp(np.log(median) + mix.spread * dice.standard_normal(REQUESTS))
            whole: Ints = np.clip(drawn, 2, most).astype(np.int64)
            return whole

        return Trace(
            arrival_s - arrival_s[0], lengths(mix.prompt, MOST_PROMPT), lengths(mix.output, MOST_OUTPUT)
        )


FITTED: Final = Load(name="fitted", mix="chat", per_s=1.8, seed=11)
TESTED: Final = (
    Load(name="chat-low", mix="chat", per_s=1.2, seed=21),
    Load(name="chat-middle", mix="chat", per_s=2.0, seed=22),
    Load(name="chat-high", mix="chat", per_s=2.6, seed=23),
    Load(name="code-low", mix="code", per_s=0.9, seed=31),
    Load(name="code-middle", mix="code", per_s=1.5, seed=32),
    Load(name="code-high", mix="code", per_s=2.0, seed=33),
)
REPEATED: Final = TESTED[1]
"""The load that is recorded twice."""
