"""A real engine answers canary prompts with log-probabilities, twice alike and past its prefix cache."""

import time
from collections import Counter
from pathlib import Path

import pytest

from loadline_agent import engine_clients
from loadline_agent.canaries.measurements import ANSWER_S, CanaryTarget
from loadline_agent.experts.canaries import ExpertCanaries
from loadline_agent.experts.canary_prompts import prompt
from testbed.engines import expert_models
from testbed.engines.processes import Engines
from testbed.engines.venvs import Venv

pytestmark = pytest.mark.timeout(900)

MIN_TOKENS = 64


async def test_canaries_of_an_unchanged_engine_do_not_drift(engine_venv: Venv, plugins: Path) -> None:
    outcomes: Counter[str] = Counter()
    canaries = ExpertCanaries(time.monotonic, lambda outcome: outcomes.update([outcome]))
    with Engines(engine_venv, expert_models.ensure("olmoe"), plugins=plugins) as engines:
        server = engines.start("chat", "--enable-prefix-caching")
        server.wait()
        async with engine_clients.sessions(answer_s=ANSWER_S) as session:
            for settings, bounded in (("1", False), ("2", True)):
                target = CanaryTarget(
                    url=server.url, settings=settings, bounded=bounded, min_tokens=MIN_TOKENS
                )
                canaries.follow("uid-0", target)
                await canaries.turn(session)
        assert outcomes == {"measured": 2}
        assert canaries.baseline_known("uid-0")
        drift = canaries.drift_nats("uid-0")
        assert drift is not None
        assert abs(drift) < 0.001
        assert server.metric("vllm:prompt_tokens_total") >= 2 * len(prompt(MIN_TOKENS).split())
        assert server.metric("vllm:prefix_cache_hits_total") == 0.0
        server.complete(prompt(MIN_TOKENS))
        assert server.metric("vllm:prefix_cache_hits_total") > 0.0, "other requests read it"
