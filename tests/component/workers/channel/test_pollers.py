"""The plugin's channel with an agent's real port: what ranks get, and that nothing ever ends it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from loadline_agent.http_servers import serve
from loadline_agent.workers import worker_records, worker_servers
from loadline_api.worker_messages import (
    LONGEST_TEXT,
    WORKER_PATH,
    SettingsSection,
    WorkerPod,
    WorkerReport,
    decode_worker_report,
)
from loadline_vllm.channel import pollers
from loadline_vllm.channel.agent_clients import AgentClient
from loadline_vllm.channel.channel_metrics import ChannelMetrics
from loadline_vllm.channel.pollers import Counters, Poller, no_counters
from loadline_vllm.channel.settings_leases import Change
from testbed.doubles.worker_agents import POD, TOKEN, WorkerAgent

RANKS = 2
EVERY_S = 0.05


def sections(strength: int) -> dict[str, SettingsSection]:
    return {"kv": SettingsSection(policy="some", policy_hash="3f2a", settings={"strength": strength})}


@dataclass
class Engine:
    """Ranks that hold what they are sent, unless they fail; `sent` are the generations in order."""

    held: list[int] = field(default_factory=lambda: [0] * RANKS)
    sent: list[int] = field(default_factory=list)
    failing: bool = False
    broken: bool = False
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.hanging.set()

    async def apply(self, change: Change) -> Sequence[int | None]:
        await self.hanging.wait()
        self.sent.append(change.generation)
        if self.broken:
            raise RuntimeError("the engine is dead")
        self.held[0] = change.generation
        if self.failing and change.generation:
            return change.generation, None
        self.held[1] = change.generation
        return self.held


@dataclass
class Channel:
    """A poller at work, its agent and its engine."""

    agent: WorkerAgent
    engine: Engine
    registry: CollectorRegistry
    directory: Path
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self, *, url: str = "", counters: Callable[[], Any] = no_counters) -> Poller:
        file = self.directory / "token"
        file.write_text(f"{TOKEN}\n")
        poller = Poller(
            AgentClient(url or f"http://127.0.0.1:{self.agent.port}", token_file=file),
            self.engine.apply,
            pod=WorkerPod(uid=POD.uid, name=POD.name, namespace=POD.namespace),
            service="chat",
            pool="main",
            ranks=RANKS,
            metrics=ChannelMetrics(),
            counters=counters,
            every_s=EVERY_S,
        )
        self.tasks.append(asyncio.create_task(poller.run()))
        return poller

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"loadline:{name}", labels) or 0.0

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(600):
            if holds():
                assert not any(task.done() for task in self.tasks)
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"sent: {self.engine.sent}")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that takes as many reports as come here, and leases briefly."""
    monkeypatch.setattr(worker_servers, "REPORTS_PER_S", 1000.0)
    monkeypatch.setattr(worker_records, "LEASE_S", 1.0)
    monkeypatch.setattr(pollers, "RETRY_S", 0.05)


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Channel]:
    registry = CollectorRegistry()
    for kind in ("Counter", "Gauge"):
        made = getattr(prometheus_client, kind)
        monkeypatch.setattr(
            prometheus_client, kind, lambda *args, made=made, **more: made(*args, registry=registry, **more)
        )
    async with WorkerAgent(sections=sections(1), clock=time.monotonic) as agent:
        channel = Channel(agent, Engine(), registry, tmp_path)
        yield channel
        for task in channel.tasks:
            task.cancel()
        await asyncio.gather(*channel.tasks, return_exceptions=True)


async def test_ranks_get_no_op_settings_and_then_those_of_the_agent(channel: Channel) -> None:
    poller = channel.start()
    await channel.until(lambda: poller.lease.generation == 1)
    assert channel.engine.sent[:2] == [0, 1]
    channel.agent.sections = sections(2)
    await channel.until(lambda: channel.engine.held == [2, 2])
    await channel.until(lambda: channel.agent.server.shown()[0]["holds"] == 2)
    assert channel.counted("settings_in_force") == 1.0
    assert channel.counted("agent_reports_total", outcome="answered") > 2.0


async def test_an_agent_that_is_gone_leaves_no_op_settings_and_one_that_comes_back_goes_on(
    channel: Channel,
) -> None:
    poller = channel.start()
    await channel.until(lambda: poller.lease.generation == 1)
    await channel.agent.server.close()
    await channel.until(lambda: channel.engine.held == [0, 0])
    assert channel.counted("settings_lapses_total") == 1.0
    assert channel.counted("settings_in_force") == 0.0
    assert channel.counted("agent_reports_total", outcome="unreachable") > 0.0
    successor = WorkerAgent(sections=sections(1), clock=time.monotonic, port=channel.agent.port)
    async with successor:
        await channel.until(lambda: channel.engine.held == [2, 2])


async def test_a_change_that_one_rank_does_not_take_is_withdrawn_from_all(channel: Channel) -> None:
    channel.engine.failing = True
    channel.start()
    await channel.until(lambda: channel.engine.sent == [0, 1, 0])
    await channel.until(lambda: channel.agent.server.shown()[0]["withdrawn"] == 1)
    assert channel.engine.held == [0, 0]
    assert channel.counted("settings_withdrawals_total") == 1.0


async def test_an_engine_that_raises_ends_nothing(channel: Channel) -> None:
    channel.engine.broken = True
    poller = channel.start()
    await channel.until(lambda: len(channel.engine.sent) > 3)
    assert poller.lease.generation is None
    channel.engine.broken = False
    await channel.until(lambda: poller.lease.generation == 0)


async def test_an_engine_that_hangs_gets_one_change_at_a_time_and_reports_go_on(channel: Channel) -> None:
    poller = channel.start()
    await channel.until(lambda: poller.lease.generation == 1)
    channel.engine.hanging.clear()
    channel.agent.sections = sections(2)
    before = channel.counted("agent_reports_total", outcome="answered")
    await channel.until(lambda: channel.counted("agent_reports_total", outcome="answered") > before + 3)
    assert (channel.engine.sent, channel.agent.server.shown()[0]["holds"]) == ([0, 1], None)
    channel.engine.hanging.set()
    await channel.until(lambda: channel.engine.sent == [0, 1, 2])


NONSENSE = {
    "no-json": b"<html>",
    "too-long": b" " * 70_000,
    "another-version": b'{"version": 2}',
    "generation-0": b'{"version": 1, "generation": 0, "lease_s": 5.0, "sections": {}}',
    "lease-without-end": b'{"version": 1, "generation": 1, "lease_s": 1e9, "sections": {}}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
async def test_an_agent_that_answers_nonsense_gives_no_settings(channel: Channel, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_post(WORKER_PATH, answer)
    runner, port = await serve(app, "127.0.0.1", port=0)
    channel.start(url=f"http://127.0.0.1:{port}")
    await channel.until(lambda: channel.counted("agent_reports_total", outcome="unreadable") > 2.0)
    assert channel.engine.sent == [0]
    await runner.cleanup()


async def test_a_refusal_is_logged_once_and_counted(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    channel.agent.pods.clear()
    channel.start()
    await channel.until(lambda: channel.counted("agent_reports_total", outcome="refused") > 3.0)
    warnings = [one.getMessage() for one in caplog.records if one.name == "vllm.loadline"]
    assert len(warnings) == 1
    assert "answers 401: the API server doesn't take the token" in warnings[0]


async def test_a_token_that_is_missing_is_no_error_and_is_used_once_it_is_there(channel: Channel) -> None:
    poller = channel.start()
    (channel.directory / "token").unlink()
    await channel.until(lambda: channel.counted("agent_reports_total", outcome="no_token") > 0.0)
    (channel.directory / "token").write_text(TOKEN)
    await channel.until(lambda: poller.lease.generation == 1)


@pytest.mark.parametrize("text", ["x", "x" * (LONGEST_TEXT + 1)], ids=["bounded", "unbounded"])
async def test_counters_go_with_the_report_unless_they_are_beyond_the_bounds(
    channel: Channel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    def seen(body: bytes) -> WorkerReport:
        report = decode_worker_report(body)
        told.append(report.counters)
        return report

    monkeypatch.setattr(worker_servers, "decode_worker_report", seen)

    async def counters() -> Counters:
        return {"kv": {"text": text}}

    poller = channel.start(counters=counters)
    await channel.until(lambda: poller.lease.generation == 1 and bool(told) and len(told) > 3)
    assert ({"kv": {"text": text}} in told) is (text == "x")
    assert {} in told, "while it isn't known what the ranks hold, counters would belong to no generation"


async def test_counters_that_fail_end_nothing(channel: Channel) -> None:
    async def counters() -> Counters:
        raise RuntimeError("no counters")

    channel.start(counters=counters)
    await channel.until(lambda: channel.counted("agent_reports_total", outcome="failure") > 2.0)
    assert channel.engine.sent == [0]
