"""
What a service promises to each request, and how many requests it keeps it for.

The three objectives are those of vLLM's own benchmark (`--goodput ttft tpot e2el`): time to the first
token, mean time per further token, and time to the last one. A request that isn't done keeps none of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats, Ints
from loadline_sim.serving.loops import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """Most seconds, None for what has no objective, and the share of requests that must keep all of them."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    share: float = 0.99

    def __post_init__(self) -> None:
        for name in ("ttft_s", "tpot_s", "e2e_s"):
            most_s = getattr(self, name)
            if most_s is not None and not 0.0 < most_s < np.inf:
                raise InvalidInput(name, most_s, fix="give a time above zero, or leave it out")
        if not 0.0 < self.share <= 1.0:
            raise InvalidInput("share", self.share, fix="give a share above 0, up to 1")

    @property
    def any(self) -> bool:
        """Whether anything is promised."""
        return any(most_s is not None for most_s in (self.ttft_s, self.tpot_s, self.e2e_s))

    def kept(self, outcomes: Outcomes, output_tokens: Ints) -> NDArray[np.bool_]:
        """For each request, whether it was done and keeps all objectives."""
        good = np.isfinite(outcomes.response_s)
        measured = (outcomes.ttft_s, tpot_s(outcomes, output_tokens), outcomes.response_s)
        for most_s, value in zip((self.ttft_s, self.tpot_s, self.e2e_s), measured, strict=True):
            if most_s is not None:
                good &= ~(value > most_s)
        return good


def tpot_s(outcomes: Outcomes, output_tokens: Ints) -> Floats:
    """Mean seconds per token after the first; NaN of an answer that has no other."""
    further = np.where(output_tokens > 1, output_tokens - 1, np.nan)
    found: Floats = (outcomes.response_s - outcomes.ttft_s) / further
    return found
