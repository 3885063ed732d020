"""Keys are reconciled once however often they are added, never twice at a time, and again after a failure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadline_api.api_errors import Unavailable
from loadline_operator.kube import work_queues
from loadline_operator.kube.work_queues import FIRST_RETRY_S, LONGEST_RETRY_S, WorkQueue, pause_s
from loadline_operator.metrics import Metrics


@asynccontextmanager
async def working(reconcile: Callable[[str], Awaitable[None]]) -> AsyncIterator[WorkQueue[str]]:
    work_queue = WorkQueue[str]("services", reconcile, metrics=Metrics(), settle_s=0.0)
    task = asyncio.create_task(work_queue.run())
    try:
        yield work_queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_burst_is_one_reconcile() -> None:
    done: list[str] = []

    async def reconcile(key: str) -> None:
        done.append(key)

    async with working(reconcile) as work_queue:
        await work_queue.open()
        for _ in range(100):
            work_queue.add("a")
            work_queue.add("b")
        await work_queue.idle()
    assert sorted(done) == ["a", "b"]


async def test_nothing_starts_before_it_is_opened() -> None:
    done: list[str] = []

    async def reconcile(key: str) -> None:
        done.append(key)

    async with working(reconcile) as work_queue:
        work_queue.add("a")
        for _ in range(10):
            await asyncio.sleep(0)
        assert done == []
        await work_queue.open()
        await work_queue.idle()
    assert done == ["a"]


async def test_an_event_during_a_reconcile_leads_to_another() -> None:
    at_once, most, turns = 0, 0, 0
    entered, leave = asyncio.Event(), asyncio.Event()

    async def reconcile(key: str) -> None:
        nonlocal at_once, most, turns
        at_once, turns = at_once + 1, turns + 1
        most = max(most, at_once)
        entered.set()
        await leave.wait()
        at_once -= 1

    async with working(reconcile) as work_queue:
        await work_queue.open()
        work_queue.add("a")
        await entered.wait()
        work_queue.add("a")
        for _ in range(10):
            await asyncio.sleep(0)
        leave.set()
        await work_queue.idle()
    assert (turns, most) == (2, 1)


async def test_a_failure_is_tried_again_and_stops_nobody() -> None:
    done: list[str] = []
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def reconcile(key: str) -> None:
        if key == "bad" and len(times) < 2:
            times.append(loop.time())
            raise Unavailable("away")
        done.append(key)

    async with working(reconcile) as work_queue:
        await work_queue.open()
        work_queue.add("bad")
        work_queue.add("good")
        await work_queue.idle()
    assert done == ["good", "bad"]
    assert times[1] - times[0] >= FIRST_RETRY_S


async def test_a_later_look_waits_its_time_and_a_sooner_one_replaces_it() -> None:
    done: list[str] = []

    async def reconcile(key: str) -> None:
        done.append(key)

    async with working(reconcile) as work_queue:
        await work_queue.open()
        work_queue.add_later("a", 3600.0)
        work_queue.add_later("b", 0.0)
        await asyncio.sleep(0.01)
        await work_queue.idle()
        assert done == ["b"]
        work_queue.add("a")
        await work_queue.idle()
    assert done == ["b", "a"]


@pytest.mark.parametrize("failures", [1, 2, 10, 5000])
async def test_pauses_grow_to_a_bound_however_often_it_fails(failures: int) -> None:
    """After 1,024 failures, some eight hours, the pause was no number any more, and ended a worker."""
    assert FIRST_RETRY_S <= pause_s(failures) <= LONGEST_RETRY_S
    assert pause_s(failures) <= pause_s(failures + 1)


async def test_one_failure_is_told_with_its_traceback_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(
        work_queues.log, "warning", lambda *_, exc_info=None, **__: told.append(exc_info is not None)
    )
    monkeypatch.setattr(work_queues, "FIRST_RETRY_S", 0.001)
    errors = [ValueError("odd"), ValueError("odd"), ValueError("odder"), ValueError("odder")]

    async def reconcile(key: str) -> None:
        if errors:
            raise errors.pop(0)

    async with working(reconcile) as work_queue:
        await work_queue.open()
        work_queue.add("a")
        await work_queue.idle()
    assert told == [True, False, True, False]
