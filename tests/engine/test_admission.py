"""A real engine with too little memory: leased settings save it preemptions, and change no answer."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadline_api.kv_cache import SCHEDULER
from loadline_api.kv_settings import KvSettings
from loadline_api.worker_messages import SettingsSection
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from testbed.doubles.worker_agents import POD, TOKEN, WorkerAgent
from testbed.engines.models import WORDS
from testbed.engines.processes import Engines, Server
from testbed.engines.venvs import Venv

pytestmark = pytest.mark.timeout(600)

REQUESTS = 20
TOKENS = 120
"""Of each answer; with its prompt it takes five blocks of 32 tokens, so 12 of the 20 fit."""

ENFORCED = KvSettings(
    admission=Config(admission=AdmissionMode.ENFORCE, estimator=EstimatorName.WORST_CASE, reserve_percent=0)
)

LITTLE_MEMORY = ("--num-gpu-blocks-override", "65", "--block-size", "32", "--no-enable-prefix-caching")


def section(settings: KvSettings) -> SettingsSection:
    return SettingsSection(policy="predicted-memory", policy_hash="3f2a", settings=settings.encode())


async def until(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    end_s = time.monotonic() + within_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.25)


def answers(server: Server) -> tuple[list[str], float]:
    """The answers to many requests at once, and how many preemptions they cost."""
    before = server.metric("vllm:num_preemptions_total")
    prompts = [" ".join(WORDS[place : place + 20]) for place in range(REQUESTS)]
    with ThreadPoolExecutor(REQUESTS) as threads:
        found = [*threads.map(lambda prompt: server.complete(prompt, tokens=TOKENS), prompts)]
    return found, server.metric("vllm:num_preemptions_total") - before


async def test_enforced_admission_saves_preemptions_and_changes_no_answer(
    engine_venv: Venv, plugins: Path, tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    async with WorkerAgent(sections={"kv": section(KvSettings())}, clock=time.monotonic) as agent:
        with Engines(engine_venv, tiny_model, plugins=plugins) as engines:
            environment = {
                "LOADLINE_NAMESPACE": POD.namespace,
                "LOADLINE_SERVICE": "chat",
                "LOADLINE_POOL": "main",
                "LOADLINE_POD_NAME": POD.name,
                "LOADLINE_POD_UID": POD.uid,
                "LOADLINE_AGENT": f"http://127.0.0.1:{agent.port}",
                "LOADLINE_TOKEN_FILE": str(file),
                "LOADLINE_ADMISSION": "enforce",
            }
            server = engines.start(
                "chat",
                *LITTLE_MEMORY,
                "--scheduler-cls",
                SCHEDULER,
                VLLM_PLUGINS="loadline",
                **environment,
            )
            await asyncio.to_thread(server.wait)
            await until(lambda: "loadline:admission_pool_blocks" in server.metrics())
            assert server.metric("loadline:admission_pool_blocks") == 64
            assert server.metric("loadline:admission_in_force") == 0
            stock, preempted = await asyncio.to_thread(answers, server)

            agent.sections = {"kv": section(ENFORCED)}
            await until(lambda: server.metric("loadline:admission_in_force") == 1)
            enforced, preempted_in_force = await asyncio.to_thread(answers, server)

            assert enforced == stock
            assert preempted >= 5
            assert preempted_in_force == 0
            await until(lambda: server.metric("loadline:admission_preemptions_total") == preempted)
            assert server.metric("loadline:admission_refusals_total") > 0
            assert server.metric("loadline:admission_off") == 0
