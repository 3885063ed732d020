"""
Which objects wait for their reconcile, and when it is their turn.

An event adds a key, never itself: however many come while a key waits, one reconcile
follows. A key that is being worked on isn't worked on twice at a time; it waits for
its next turn. One that fails comes back, later each time. Nothing starts before
`open` is called, since a plan that has seen half of the cluster decides wrongly.

Time is the event loop's own (`call_later`), so a test's loop decides what a second is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from loadline_api.api_errors import Unavailable
from loadline_operator.metrics import Metrics

K = TypeVar("K", bound=Hashable)

SETTLE_S = 0.05
"""Chosen: a burst of events becomes one reconcile, and nobody feels the wait."""

WORKERS = 12
"""Chosen: an apply takes a small API server tens of milliseconds; 200 new services shall not queue here."""

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0

log = structlog.get_logger("loadline.operator")


@dataclass(slots=True)
class _Failures:
    """How often in a row a key's reconcile has failed, and how it did last."""

    count: int = 0
    last: str = ""


def pause_s(failures: int) -> float:
    """Seconds before the next try after so many failures in a row: doubling to a bound."""
    return float(min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures - 1, 16)))


class WorkQueue(Generic[K]):
    """A coalescing queue of keys in front of one reconcile function."""

    def __init__(
        self,
        loop: str,
        reconcile: Callable[[K], Awaitable[None]],
        *,
        metrics: Metrics,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.loop, self._reconcile, self._metrics, self._settle_s = loop, reconcile, metrics, settle_s
        metrics.add_loop(loop)
        self._due: dict[K, None] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._active: set[K] = set()
        self._failures: dict[K, _Failures] = {}
        self._changed = asyncio.Condition()
        self._opened = False

    def add(self, key: K) -> None:
        """Have `key` reconciled soon; again and again is once."""
        self._forget_later(key)
        self._schedule(key, self._settle_s)

    def add_later(self, key: K, delay_s: float) -> None:
        """Have `key` reconciled after a while, for what may change without an event; `add` comes first."""
        self._forget_later(key)
        self._later[key] = asyncio.get_running_loop().call_later(delay_s, self.add, key)

    async def open(self) -> None:
        """Let the work begin."""
        self._opened = True
        await self._tell()

    async def run(self, workers: int = WORKERS) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def idle(self) -> None:
        """Return once nothing waits and nothing is being worked on."""
        async with self._changed:
            await self._changed.wait_for(lambda: not (self._due or self._timers or self._active))

    def _forget_later(self, key: K) -> None:
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _schedule(self, key: K, delay_s: float) -> None:
        timer = self._timers.pop(key, None)
        when = asyncio.get_running_loop().time() + delay_s
        if timer is not None:
            when = min(when, timer.when())
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(when, self._ripen, key)
        self._count()

    def _ripen(self, key: K) -> None:
        self._timers.pop(key, None)
        self._due[key] = None
        self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _work(self) -> None:
        while True:
            key = await self._next()
            try:
                await self._attempt(key)
            finally:
                self._active.discard(key)
                self._count()
            await self._tell()

    async def _next(self) -> K:
        async with self._changed:
            await self._changed.wait_for(lambda: self._opened and self._free() is not None)
            key = self._free()
            assert key is not None
            del self._due[key]
            self._active.add(key)
            self._count()
            return key

    def _free(self) -> K | None:
        return next((key for key in self._due if key not in self._active), None)

    async def _attempt(self, key: K) -> None:
        try:
            with self._metrics.reconcile_seconds.labels(self.loop).time():
                await self._reconcile(key)
        except Exception as error:  # counted, logged and tried again: one object never stops the others
            self._retry(key, error)
        else:
            self._failures.pop(key, None)
            self._metrics.reconciles.labels(self.loop, "ok").inc()

    def _retry(self, key: K, error: Exception) -> None:
        failures, said = self._failures.setdefault(key, _Failures()), f"{type(error).__name__}: {error}"
        known = isinstance(error, Unavailable) or failures.last == said
        failures.count, failures.last = failures.count + 1, said
        delay_s = pause_s(failures.count)
        self._metrics.reconciles.labels(self.loop, "failed").inc()
        log.warning(
            "a reconcile failed and will be tried again",
            loop=self.loop,
            object=str(key),
            failures=failures.count,
            again_in_s=delay_s,
            error=said,
            exc_info=None if known else error,
        )
        self._schedule(key, delay_s)

    def _count(self) -> None:
        self._metrics.queued.labels(self.loop).set(len(self._due) + len(self._timers))
