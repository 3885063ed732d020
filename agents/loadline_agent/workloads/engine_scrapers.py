"""
What the engines of this node say of themselves, asked every five seconds.

Each pod that runs an engine of a known service is asked for its metrics, a few at a
time; `engine_metrics` reads them, `histograms` keeps the last minutes of each pool, and what
comes of it for a service is `Measured`. A pool is judged by itself: prefill and decode
of one service have latencies of different kinds. An engine that gives no figures is named
with the address that was asked.

The pods belong to tenants. So an answer is bounded in size and time, no redirection is
followed, and what can't be read is counted and otherwise as good as silence. A node
without engines does nothing here.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from loadline_agent import engine_clients
from loadline_agent.engine_clients import OtherStatus
from loadline_agent.metrics import SCRAPE_OUTCOMES
from loadline_agent.workloads.engine_metrics import Scrape, scrape_of
from loadline_agent.workloads.histograms import STALE_S, Histogram, Window, increase
from loadline_agent.workloads.objectives import Objectives, worst
from loadline_policies.errors import InvalidInput
from loadline_policies.experts.service_loads import Pressure

EVERY_S: Final = 5.0
"""Between two rounds. Chosen: a miss is seen in a dozen seconds, and eight engines cost 0.1 % of a core."""

ANSWER_S: Final = 2.0
"""For one answer; an engine on the same node takes some 10 ms. Chosen."""

AT_ONCE: Final = 4
"""Engines that are asked at the same time."""

LONGEST_ANSWER: Final = 2 * 1024 * 1024
"""Bytes. vLLM sends some 60 KiB, and 25 more for each core."""

READ, UNREACHABLE, UNREADABLE, FOREIGN = SCRAPE_OUTCOMES
"""What came of asking: `foreign` answers, but is neither vLLM nor SGLang."""

MISSING: Final = {
    UNREACHABLE: "doesn't answer",
    UNREADABLE: "serves metrics that can't be parsed",
    FOREIGN: "serves metrics of neither vLLM nor SGLang",
}
"""What an engine without figures does, by outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapedEngine:
    """An engine to be asked: which pod it is, whose, and where it answers."""

    pod: str
    service: str
    pool: str
    url: str
    objectives: Objectives


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of a service on this node; None where it isn't.

    `silent` is a sentence on an engine that gives no figures, the first by name; empty where all do.
    """

    running: float | None = None
    waiting: float | None = None
    kv_use: float | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    missed: float | None = None
    plugin: bool | None = None
    silent: str | None = None


@dataclass(slots=True)
class _Pool:
    """The latencies of one pool, lately."""

    ttft: Window = field(default_factory=Window)
    itl: Window = field(default_factory=Window)


class EngineScraper:
    """The engines of this node; `measured` by service."""

    def __init__(self, clock: Callable[[], float], count: Callable[[str], object]) -> None:
        self.measured: dict[str, Measured] = {}
        self._pressures: dict[tuple[str, str], tuple[Pressure | None, float]] = {}
        self._clock, self._count = clock, count
        self._engines: dict[str, ScrapedEngine] = {}
        self._last: dict[str, tuple[Scrape, float]] = {}
        self._silent: dict[str, str] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._pools: dict[tuple[str, str], _Pool] = {}
        self._some = asyncio.Event()

    def follow(self, engines: Iterable[ScrapedEngine]) -> None:
        """Ask these and no others from now on."""
        self._engines = {engine.pod: engine for engine in engines}
        self._last = {pod: last for pod, last in self._last.items() if pod in self._engines}
        self._silent = {pod: why for pod, why in self._silent.items() if pod in self._engines}
        kept = {_pool_of(engine) for engine in self._engines.values()}
        self._pools = {key: pool for key, pool in self._pools.items() if key in kept}
        if self._engines:
            self._some.set()
        else:
            self._some.clear()
            self.measured, self._pressures = {}, {}

    def pressure(self, service: str, pool: str) -> tuple[Pressure | None, float]:
        """How a pool stands against its objectives, None if unknown, and the age of that in seconds."""
        found, at_s = self._pressures.get((service, pool), (None, 0.0))
        return found, self._clock() - at_s if found is not None else 0.0

    async def run(self) -> None:
        """Ask in rounds as long as there is somebody to ask; until cancelled."""
        while True:
            await self._some.wait()
            async with sessions() as session:
                while self._some.is_set():
                    await self.round(session)
                    await asyncio.sleep(EVERY_S * random.uniform(0.9, 1.1))

    async def round(self, session: aiohttp.ClientSession) -> None:
        """Ask every engine once, and see what it means for the services."""
        engines = tuple(self._engines.values())
        scrapes = await asyncio.gather(*(self._ask(session, engine) for engine in engines))
        now = self._clock()
        for engine, scrape in zip(engines, scrapes, strict=True):
            if scrape is not None and engine.pod in self._engines:
                self._take(engine, scrape, now=now)
        by_service: dict[str, list[ScrapedEngine]] = {}
        for engine in self._engines.values():
            by_service.setdefault(engine.service, []).append(engine)
        self.measured = {service: self._measure(group, now) for service, group in by_service.items()}
        self._pressures = {
            _pool_of(engine): (self._pressure(engine, now), now) for engine in self._engines.values()
        }

    async def _ask(self, session: aiohttp.ClientSession, engine: ScrapedEngine) -> Scrape | None:
        scrape = None
        try:
            async with self._turns:
                scrape = scrape_of(await engine_clients.get(session, engine.url, most_bytes=LONGEST_ANSWER))
                outcome, does = (READ, "") if scrape is not None else (FOREIGN, MISSING[FOREIGN])
        except OtherStatus as error:
            outcome, does = UNREADABLE, f"answers with status {error.status}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            outcome = UNREADABLE if isinstance(error, InvalidInput) else UNREACHABLE
            does = MISSING[outcome]
        self._count(outcome)
        self._silent.pop(engine.pod, None)
        if scrape is None:
            self._silent[engine.pod] = f"{engine.pod}: {engine.url} {does}"
        return scrape

    def _take(self, engine: ScrapedEngine, scrape: Scrape, *, now: float) -> None:
        last = self._last.get(engine.pod)
        self._last[engine.pod] = scrape, now
        if last is None or now - last[1] > STALE_S:
            return  # what it has counted so far may be of last week
        before, _ = last
        pool = self._pools.setdefault(_pool_of(engine), _Pool())
        for window, was, known in ((pool.ttft, before.ttft, scrape.ttft), (pool.itl, before.itl, scrape.itl)):
            if was is not None and known is not None:
                window.add(increase(was, known), now)

    def _pressure(self, engine: ScrapedEngine, now: float) -> Pressure | None:
        pool, objectives = self._pools.get(_pool_of(engine)), engine.objectives
        if pool is None:
            return None
        ttft, itl = pool.ttft.recent(now, objectives.samples), pool.itl.recent(now, objectives.samples)
        return objectives.pressure(ttft, itl)

    def _measure(self, engines: list[ScrapedEngine], now: float) -> Measured:
        known = (self._last[engine.pod] for engine in engines if engine.pod in self._last)
        scrapes = [scrape for scrape, at_s in known if now - at_s <= STALE_S]
        silent = min((self._silent[one.pod] for one in engines if one.pod in self._silent), default="")
        if not scrapes:
            return Measured(silent=silent)
        judged = [
            _Judged.of(self._pools[key], engine.objectives, now=now)
            for key, engine in {_pool_of(engine): engine for engine in engines}.items()
            if key in self._pools
        ]
        busy = [one for one in judged if one.busy]
        return Measured(
            running=sum(scrape.running for scrape in scrapes),
            waiting=_sum(scrape.waiting for scrape in scrapes),
            kv_use=max((one.kv_use for one in scrapes if one.kv_use is not None), default=None),
            ttft_s=max((one.ttft_s for one in busy if one.ttft_s is not None), default=None),
            itl_s=max((one.itl_s for one in busy if one.itl_s is not None), default=None),
            missed=worst([one.missed for one in busy]),
            plugin=all(scrape.plugin for scrape in scrapes),
            silent=silent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One pool against its objectives."""

    busy: bool
    ttft_s: float | None
    itl_s: float | None
    missed: float | None

    @classmethod
    def of(cls, pool: _Pool, objectives: Objectives, *, now: float) -> "_Judged":
        samples = objectives.samples
        ttft, itl = pool.ttft.recent(now, samples), pool.itl.recent(now, samples)
        quantiles = [objectives.quantile(found) for found in (ttft, itl)]
        ttft_s, itl_s = (found.estimate if found is not None else None for found in quantiles)
        return cls(
            busy=_total(ttft) + _total(itl) > 0.0,
            ttft_s=ttft_s,
            itl_s=itl_s,
            missed=objectives.missed(ttft, itl),
        )


def _sum(told: Iterable[float | None]) -> float | None:
    """All that was told together; None where nothing was."""
    known = [one for one in told if one is not None]
    return sum(known) if known else None


def _total(histogram: Histogram | None) -> float:
    return histogram.total if histogram is not None else 0.0


def _pool_of(engine: ScrapedEngine) -> tuple[str, str]:
    return engine.service, engine.pool


def sessions() -> aiohttp.ClientSession:
    """A client for engines' metrics."""
    return engine_clients.sessions(answer_s=ANSWER_S)
