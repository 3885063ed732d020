"""
What a token budget costs in quality: the recall probe's answer under it, compared with that without.
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
from loadline_agent.retention.recall_prompts import (
    Answer,
    answer,
    drift_nats,
    prompt,
    recall_loss_fraction,
    request,
)
from loadline_policies.kv.engine_memories import CanaryReadings


class RecallCanaries(Canaries[Answer]):
    """The canaries of engines whose requests may be bounded; a reading is the answer to the recall probe."""

    def __init__(self, clock: Callable[[], float], count: Callable[[str], object]) -> None:
        super().__init__(clock, count, _asked)

    def readings(self, uid: str) -> CanaryReadings:
        """What the budget in force costs, as far as it was measured."""
        before, now = self.baseline(uid), self.measured(uid)
        if before is None or now is None:
            return CanaryReadings()
        return CanaryReadings(
            recall_loss_fraction=recall_loss_fraction(before, now), drift_nats=drift_nats(before, now)
        )


async def _asked(session: aiohttp.ClientSession, target: CanaryTarget) -> Answer:
    text = prompt(target.min_tokens)
    models = await engine_clients.get(session, target.url + MODELS_PATH, most_bytes=LONGEST_ANSWER)
    asked = request(served_model(models), text)
    found = await engine_clients.post(
        session, target.url + COMPLETIONS_PATH, asked, most_bytes=LONGEST_ANSWER
    )
    return answer(found)
