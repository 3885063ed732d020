"""A real engine of two ranks takes settings from an agent's port, and serves on without the agent."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loadline_agent.workers import worker_records
from loadline_agent.workers.loop_settings import no_op
from loadline_api.worker_messages import SettingsSection
from loadline_policies.documents import built_in
from loadline_policies.loops import OF_WORKERS
from testbed.doubles.worker_agents import POD, TOKEN, WorkerAgent
from testbed.engines import expert_models
from testbed.engines.processes import Engines, Server
from testbed.engines.venvs import ENVIRONMENT, Venv

pytestmark = pytest.mark.timeout(900)

USED = """
from vllm.config import ParallelConfig
from vllm.plugins import load_general_plugins
from vllm.plugins.endpoint_plugins.interface import EndpointPlugin
from vllm.v1.engine.core_client import AsyncMPClient, DPLBAsyncMPClient
from loadline_vllm import held_settings
from loadline_vllm.endpoint import Endpoint

assert isinstance(Endpoint(), EndpointPlugin)
load_general_plugins()
assert held_settings.is_installed(held_settings.rank_class())
assert held_settings.is_installed(held_settings.core_class())
assert ParallelConfig()._api_process_rank == 0
assert ParallelConfig().world_size == 1
assert all(hasattr(one, "call_utility_all_async") for one in (AsyncMPClient, DPLBAsyncMPClient))
"""

PROMPT = "Where is the harbour?"

EXPERTS = SettingsSection(policy="some", policy_hash="3f2a", settings={"min_tokens": 4})


async def until(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    end_s = time.monotonic() + within_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.5)


async def test_an_engine_takes_settings_and_serves_on_without_its_agent(
    engine_venv: Venv, plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_records, "LEASE_S", 8.0)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    sections = {**{loop.value: no_op(built_in(loop)) for loop in OF_WORKERS}, "experts": EXPERTS}
    model = expert_models.ensure("olmoe")
    async with WorkerAgent(sections=sections, clock=time.monotonic) as agent:
        with Engines(engine_venv, model, plugins=plugins) as engines:
            server = await asyncio.to_thread(start, engines, agent, file)
            before = await asyncio.to_thread(server.complete, PROMPT)

            def holds() -> bool:
                (shown,) = agent.server.shown() or [{}]
                return shown.get("holds") == 1

            await until(holds)
            assert [(one["pod"], one["ranks"]) for one in agent.server.shown()] == [
                ({"uid": POD.uid, "name": POD.name, "namespace": POD.namespace}, 2)
            ]
            assert server.metric("loadline:settings_in_force") == 1.0
            assert await asyncio.to_thread(server.complete, PROMPT) == before
            await until(lambda: "loadline:experts_imbalance{" in server.metrics())
            assert server.metric("loadline:experts_observed_layers") == expert_models.LAYERS
            assert server.metric("loadline:experts_imbalance", layer="model.layers.0.mlp.experts") > 1

            await agent.server.close()
            await until(lambda: server.metric("loadline:settings_lapses_total") == 1.0)
            assert server.metric("loadline:settings_in_force") == 0.0
            assert server.metric("loadline:settings_withdrawals_total") == 0.0
            assert await asyncio.to_thread(server.complete, PROMPT) == before

            successor = WorkerAgent(sections=sections, clock=time.monotonic, port=agent.port)
            async with successor:
                await until(lambda: server.metric("loadline:settings_in_force") == 1.0)
                assert [one["generation"] for one in successor.server.shown()] == [2]


def test_what_the_plugin_uses_of_vllm_is_there(engine_venv: Venv, plugins: Path, tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "PYTHONPATH": str(plugins), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    environment["LOADLINE_ADMISSION"] = "observe"
    done = subprocess.run(
        [engine_venv.python, "-c", USED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def start(engines: Engines, agent: WorkerAgent, token_file: Path) -> Server:
    """An engine in the environment that its pod would have."""
    told = {
        "NAMESPACE": POD.namespace,
        "SERVICE": "chat",
        "POOL": "main",
        "POD_NAME": POD.name,
        "POD_UID": POD.uid,
        "AGENT": f"http://127.0.0.1:{agent.port}",
        "TOKEN_FILE": str(token_file),
        "EXPERTS": "observe",
        "EXPERTS_LEAST_TOKENS": "4",
    }
    environment = {f"LOADLINE_{name}": value for name, value in told.items()}
    server = engines.start("chat", "--tensor-parallel-size", "2", VLLM_PLUGINS="loadline", **environment)
    server.wait()
    return server
