"""What the engines of a node say of themselves: real servers, with vLLM's words."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from loadline_agent.workloads import engine_scrapers
from loadline_agent.workloads.engine_scrapers import EngineScraper, ScrapedEngine
from loadline_agent.workloads.objectives import Objectives

TTFT, ITL = "vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"
BOUNDS = ("0.1", "0.5", "1.0", "+Inf")
SLO = Objectives(ttft_s=0.5, itl_s=0.1, percentile=95)


class Server:
    """An engine: how many requests it has had at each latency, in seconds."""

    def __init__(self) -> None:
        self.ttft: list[float] = []
        self.itl: list[float] = []
        self.running, self.waiting, self.kv_use = 0, 0, 0.0
        self.plugin = False
        self.answer: Callable[[], web.StreamResponse] = self.metrics
        self.asked = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/metrics"
        self.asked += 1
        return self.answer()

    def metrics(self) -> web.Response:
        lines = [
            f'vllm:num_requests_running{{engine="0",model_name="tiny"}} {self.running}',
            f'vllm:num_requests_waiting{{engine="0",model_name="tiny"}} {self.waiting}',
            f'vllm:kv_cache_usage_perc{{engine="0",model_name="tiny"}} {self.kv_use}',
            *(['loadline:plugin_info{version="0.1.0"} 1.0'] if self.plugin else []),
        ]
        for name, seen in ((TTFT, self.ttft), (ITL, self.itl)):
            for bound in BOUNDS:
                count = sum(one <= float(bound) for one in seen)
                lines.append(f'{name}_bucket{{engine="0",le="{bound}",model_name="tiny"}} {count}.0')
        return web.Response(text="\n".join(["# HELP x y", *lines, ""]))

    def serves(self, requests: int, *, ttft: float = 0.05, itl: float = 0.05) -> None:
        self.ttft += [ttft] * requests
        self.itl += [itl] * requests * 4

    def restarts(self) -> None:
        self.ttft, self.itl = [], []


@pytest.fixture
async def servers() -> AsyncIterator[list[Server]]:
    """Two engines."""
    async with AsyncExitStack() as stack:
        made = [Server(), Server()]
        for server in made:
            app = web.Application()
            app.router.add_get("/{path:.*}", server.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        yield made


class Node:
    """The engines of a node, looked at when the test says."""

    def __init__(self, servers: list[Server], objectives: Objectives = SLO, pools: str = "") -> None:
        self.now = 1000.0
        self.outcomes: Counter[str] = Counter()
        self.engines = EngineScraper(lambda: self.now, lambda outcome: self.outcomes.update([outcome]))
        self.engines.follow(
            ScrapedEngine(
                pod=f"prod/chat-{index}",
                service="prod/chat",
                pool=pools[index : index + 1],
                url=server.url,
                objectives=objectives,
            )
            for index, server in enumerate(servers)
        )

    async def look(self, after_s: float = 5.0) -> engine_scrapers.Measured:
        self.now += after_s
        async with engine_scrapers.sessions() as session:
            await self.engines.round(session)
        return self.engines.measured["prod/chat"]


async def test_queue_memory_and_plugin_are_those_of_all_engines(servers: list[Server]) -> None:
    servers[0].running, servers[0].waiting, servers[0].kv_use, servers[0].plugin = 3, 1, 0.5, True
    servers[1].running, servers[1].waiting, servers[1].kv_use = 4, 2, 0.75
    found = await Node(servers).look()
    assert (found.running, found.waiting, found.kv_use, found.plugin) == (7.0, 3.0, 0.75, False)
    servers[1].plugin = True
    assert (await Node(servers).look()).plugin is True


async def test_latencies_are_those_of_the_last_minutes(servers: list[Server]) -> None:
    node = Node(servers)
    servers[0].serves(1000, ttft=9.0)  # long before anybody looked
    assert (await node.look()).missed is None
    servers[0].serves(100)
    found = await node.look()
    assert found.missed is not None
    assert found.missed <= 1.0
    assert found.ttft_s == pytest.approx(0.095)
    servers[1].serves(50, ttft=0.7)
    found = await node.look()
    assert found.missed is not None
    assert found.missed > 1.0
    for _ in range(70):
        servers[0].serves(20)
        found = await node.look()
    assert found.missed is not None
    assert found.missed <= 1.0


async def test_too_few_requests_are_no_percentile(servers: list[Server]) -> None:
    node = Node(servers)
    await node.look()
    servers[0].serves(10, ttft=9.0)
    found = await node.look()
    assert (found.missed, found.ttft_s) == (None, None)
    servers[0].serves(10, ttft=9.0)
    assert ((await node.look()).missed or 0.0) > 1.0


async def test_an_engine_that_restarts_counts_anew_and_is_listened_to(servers: list[Server]) -> None:
    node = Node(servers[:1])
    await node.look()
    servers[0].serves(100)
    await node.look()
    servers[0].restarts()
    servers[0].serves(50, ttft=0.9)
    assert ((await node.look()).missed or 0.0) > 1.0


async def test_what_an_engine_counted_while_nobody_could_ask_it_is_not_of_late(servers: list[Server]) -> None:
    node = Node(servers[:1])
    await node.look()
    servers[0].serves(100, ttft=9.0)
    assert (await node.look(after_s=3600.0)).missed is None
    servers[0].serves(100)
    missed = (await node.look()).missed
    assert missed is not None
    assert missed <= 1.0


async def test_prefill_and_decode_are_judged_apart(servers: list[Server]) -> None:
    node = Node(servers, pools="pm")
    await node.look()
    for _ in range(10):  # decode's many quick tokens don't hide prefill's slow ones
        servers[0].ttft += [0.9] * 10
        servers[1].serves(1000)
        found = await node.look()
    assert found.missed is not None
    assert found.missed > 1.0


async def test_an_engine_that_falls_silent_is_unknown_after_a_while(servers: list[Server]) -> None:
    node = Node(servers[:1])
    await node.look()
    servers[0].serves(100)
    assert (await node.look()).missed is not None
    answers, servers[0].answer = servers[0].answer, lambda: web.Response(status=500)
    assert (await node.look()).missed is not None
    silent = f"prod/chat-0: {servers[0].url} answers with status 500"
    assert await node.look(after_s=60.0) == engine_scrapers.Measured(silent=silent)
    assert node.outcomes == {"read": 2, "unreadable": 2}
    servers[0].answer = answers
    assert (await node.look()).silent == ""


@pytest.mark.parametrize(
    ("answer", "outcome", "does"),
    [
        (
            lambda: web.Response(text="vllm:num_requests_running{} nan\n"),
            "unreadable",
            "serves metrics that can't be parsed",
        ),
        (
            lambda: web.Response(body=b"x" * (engine_scrapers.LONGEST_ANSWER + 1)),
            "unreadable",
            "serves metrics that can't be parsed",
        ),
        (
            lambda: web.Response(text="trt:running 1\n"),
            "foreign",
            "serves metrics of neither vLLM nor SGLang",
        ),
        (
            lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/metrics"}),
            "unreadable",
            "answers with status 302",
        ),
        (lambda: web.Response(status=404), "unreadable", "answers with status 404"),
    ],
    ids=["nonsense", "endless", "another-engine", "redirected", "sglang-without-metrics"],
)
async def test_a_tenants_answer_is_read_or_counted_and_named(
    servers: list[Server], answer: Callable[[], web.StreamResponse], outcome: str, does: str
) -> None:
    servers[0].answer = answer
    node = Node(servers[:1])
    assert (await node.look()).silent == f"prod/chat-0: {servers[0].url} {does}"
    assert node.outcomes == {outcome: 1}


async def test_the_first_silent_engine_is_named_and_the_others_are_measured(servers: list[Server]) -> None:
    servers[1].answer, servers[0].running = (lambda: web.Response(status=503)), 2
    found = await Node(servers).look()
    assert found.running == 2.0
    assert found.silent == f"prod/chat-1: {servers[1].url} answers with status 503"


async def test_an_engine_that_does_not_answer_holds_up_nobody(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_scrapers, "ANSWER_S", 0.1)
    held: list[asyncio.StreamWriter] = []
    mute = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    servers[0].url = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}/metrics"
    servers[1].running = 1
    node = Node(servers)
    assert (await node.look()).running == 1.0
    assert node.outcomes == {"read": 1, "unreachable": 1}
    assert node.engines.measured["prod/chat"].silent == f"prod/chat-0: {servers[0].url} doesn't answer"
    for writer in held:
        writer.close()
    mute.close()
    await mute.wait_closed()


async def test_nobody_is_asked_once_no_engine_is_left(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_scrapers, "EVERY_S", 0.01)
    told = EngineScraper(lambda: 0.0, lambda outcome: None)
    task = asyncio.create_task(told.run())
    engine = ScrapedEngine(pod="a/b", service="a/s", pool="", url=servers[0].url, objectives=SLO)
    told.follow([engine])
    for _ in range(500):
        if servers[0].asked >= 3:
            break
        await asyncio.sleep(0.01)
    told.follow([])
    await asyncio.sleep(0.05)
    asked = servers[0].asked
    await asyncio.sleep(0.05)
    assert servers[0].asked == asked >= 3
    assert told.measured == {}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
