"""
What a capacity costs in quality: how far the mean log-probability of the canary prompts has fallen under it.
"""

from collections.abc import Callable

import aiohttp

from loadline_agent import engine_clients
from loadline_agent.canaries.measurements import Canaries, CanaryTarget
from loadline_agent.canaries.model_answers import (
    COMPLETIONS_PATH,
    LONGEST_ANSWER,
    MODELS_PATH,
    served_model,
)
from loadline_agent.experts.canary_prompts import mean_logprob, prompt, request


class ExpertCanaries(Canaries[float]):
    """The canaries of engines whose experts may be bounded; a reading is a mean log-probability, in nats."""

    def __init__(self, clock: Callable[[], float], count: Callable[[str], object]) -> None:
        super().__init__(clock, count, _mean_logprob)

    def baseline_known(self, uid: str) -> bool:
        """Whether the mean log-probability without a capacity is known."""
        return self.baseline(uid) is not None

    def drift_nats(self, uid: str) -> float | None:
        """By how much it has fallen under the settings that are in force; None where it isn't known."""
        before, now = self.baseline(uid), self.measured(uid)
        return before - now if before is not None and now is not None else None


async def _mean_logprob(session: aiohttp.ClientSession, target: CanaryTarget) -> float:
    text = prompt(target.min_tokens)
    models = await engine_clients.get(session, target.url + MODELS_PATH, most_bytes=LONGEST_ANSWER)
    asked = request(served_model(models), text)
    answer = await engine_clients.post(
        session, target.url + COMPLETIONS_PATH, asked, most_bytes=LONGEST_ANSWER
    )
    return mean_logprob(answer, least_tokens=target.min_tokens)
