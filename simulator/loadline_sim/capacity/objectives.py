"""
What a service promises to each request, and how many requests it keeps it for.

The three limits are those of vLLM's own benchmark (`--goodput ttft tpot e2el`): time to the first token, mean
time per further token, and time to the last one. A request that isn't done keeps none of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats, Ints
from loadline_sim.serving.loops import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """Limits in seconds, None for what isn't limited, and the share of requests for which all must hold."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    share: float = 0.99

    def __post_init__(self) -> None:
        for name in ("ttft_s", "tpot_s", "e2e_s"):
            limit = getattr(self, name)
            if limit is not None and not 0.0 < limit < np.inf:
                raise InvalidInput(name, limit, fix="give a time above zero, or leave it out")
        if not 0.0 < self.share <= 1.0:
            raise InvalidInput("share", self.share, fix="give a share above 0, up to 1")

    @property
    def any(self) -> bool:
        """Whether anything is promised."""
        return any(limit is not None for limit in (self.ttft_s, self.tpot_s, self.e2e_s))

    def kept(self, outcomes: Outcomes, output_tokens: Ints) -> NDArray[np.bool_]:
        """For each request, whether it was done within all limits."""
        good = np.isfinite(outcomes.response_s)
        measured = (outcomes.ttft_s, tpot_s(outcomes, output_tokens), outcomes.response_s)
        for limit, value in zip((self.ttft_s, self.tpot_s, self.e2e_s), measured, strict=True):
            if limit is not None:
                good &= ~(value > limit)
        return good


def tpot_s(outcomes: Outcomes, output_tokens: Ints) -> Floats:
    """Mean seconds per token after the first; NaN of an answer that has no other."""
    further = np.where(output_tokens > 1, output_tokens - 1, np.nan)
    found: Floats = (outcomes.response_s - outcomes.ttft_s) / further
    return found
