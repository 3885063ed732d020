"""An engine that is gone is not counted on: the agent's scraper against real servers, time in our hand."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import httpx
import pytest

from loadline_agent.workloads import engine_scrapers
from loadline_agent.workloads.engine_scrapers import EngineScraper, Measured, ScrapedEngine
from loadline_agent.workloads.histograms import STALE_S
from loadline_agent.workloads.objectives import Objectives
from testbed.cluster.processes import Household
from testbed.engines import standins
from testbed.engines.standins import Standin

SLOW_MS = 200


class Node:
    """The engines of a node, looked at when the test says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._engines = EngineScraper(lambda: self.now, lambda outcome: None)

    def follow(self, *standins: Standin) -> None:
        """These pods are there, and no others any more."""
        self._engines.follow(
            ScrapedEngine(
                pod=f"prod/{one.url}",
                service="prod/chat",
                pool="",
                url=f"{one.url}/metrics",
                objectives=Objectives(itl_s=10.0, percentile=50),
            )
            for one in standins
        )

    async def look(self, after_s: float = 0.0) -> Measured:
        self.now += after_s
        async with engine_scrapers.sessions() as session:
            await self._engines.round(session)
        return self._engines.measured["prod/chat"]


@pytest.fixture
def pair() -> Iterator[tuple[Standin, Standin]]:
    """Two engines, of which the second one has five requests under way."""
    with Household() as household:
        idle, busy = standins.start(household), standins.start(household, told={"itl_ms": SLOW_MS})
        for one in (idle, busy):
            one.wait()
        asking = [threading.Thread(target=ask, args=(busy,)) for _ in range(5)]
        for thread in asking:
            thread.start()
        busy.process.until(lambda: busy.metric("vllm:num_requests_running") == 5, timeout_s=10)
        yield idle, busy
        busy.process.kill()
        for thread in asking:
            thread.join()


def ask(standin: Standin) -> None:
    """Ask for more than is waited for; the end of the test cuts it."""
    with contextlib.suppress(httpx.HTTPError):
        standin.ask(max_tokens=200, ignore_eos=True)


async def test_an_engine_whose_pod_is_gone_is_counted_no_more(pair: tuple[Standin, Standin]) -> None:
    idle, busy = pair
    node = Node()
    node.follow(idle, busy)
    assert (await node.look()).running == 5.0
    node.follow(idle)
    assert (await node.look()).running == 0.0


async def test_an_engine_that_stops_answering_meets_no_objective(pair: tuple[Standin, Standin]) -> None:
    idle, _ = pair
    node = Node()
    node.follow(idle)
    await node.look()
    for _ in range(20):
        await asyncio.to_thread(idle.complete, "hello", max_tokens=4)
    missed = (await node.look(5.0)).missed
    assert missed is not None
    assert missed < 1.0, "while it answers it is well within its objective"
    idle.process.kill()
    found = await node.look(STALE_S + 1.0)
    assert found == Measured(silent=found.silent), "neither met nor missed: not known"
    assert found.silent == f"prod/{idle.url}: {idle.url}/metrics doesn't answer"
