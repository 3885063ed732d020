"""
What a bound costs in quality, measured on the engine that serves: by canary prompts, now and then.

Of each engine that a policy may bound, the canary prompts are measured while no bound is in force: the
baseline. While one is in force they are measured again every minute, beside the traffic that is there. A
baseline that is old doesn't count, and is measured anew as soon as no bound is in force. A measurement during
which the settings changed counts for nothing. What is asked, and how two readings differ, is the loop's.

Engines belong to tenants: an answer is bounded in size and time, no redirection is followed, and one engine
is asked at a time. An engine that wants an API key answers 401, so its readings stay unknown, and no bound
begins there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import aiohttp

from loadline_agent import engine_clients
from loadline_agent.engine_clients import OtherStatus
from loadline_agent.metrics import CANARY_OUTCOMES

EVERY_S: Final = 60.0
"""Between two measurements of an engine under a bound. Chosen: one large prefill a minute."""

BASELINE_S: Final = 1800.0
"""After which a baseline is measured anew while no bound is in force. Chosen."""

RETRY_S: Final = 60.0
"""After a measurement that failed. Chosen."""

FRESH_S: Final = 200.0
"""Age above which a measurement counts no more: three of them may fail. Chosen."""

BASELINE_LASTS_S: Final = 86_400.0
"""Age above which a baseline counts no more. Chosen: a bound seldom lasts so long."""

ANSWER_S: Final = 20.0
"""For one answer, of an engine that is so busy that it misses its objectives. Chosen."""

FOLLOWED_S: Final = 15.0
"""An engine that wasn't followed for so long isn't asked: its address may be that of another pod. Chosen:
longer than a worker's lease."""

TURN_S: Final = 1.0

MEASURED, UNREACHABLE, REFUSED, UNREADABLE, OVERTAKEN = CANARY_OUTCOMES
"""What came of a measurement; overtaken: the settings changed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryTarget:
    """An engine to be measured: where its API is, and the settings that all its ranks hold.

    `settings` names them; `bounded` says whether they are a bound, None while ranks may differ: then nothing
    is measured. A prompt has `min_tokens` or more.
    """

    url: str
    settings: str
    bounded: bool | None
    min_tokens: int


R = TypeVar("R")

Ask = Callable[[aiohttp.ClientSession, CanaryTarget], Awaitable[R]]
"""Asks an engine; ValueError if its answer can't be read."""


@dataclass(slots=True)
class _Engine(Generic[R]):
    target: CanaryTarget
    followed_s: float
    baseline: tuple[R, float] | None = None
    measured: tuple[R, float, str] | None = None
    tried_s: float = float("-inf")


class Canaries(Generic[R]):
    """The canaries of one node's engines, by the uids of their pods."""

    def __init__(self, clock: Callable[[], float], count: Callable[[str], object], ask: Ask[R]) -> None:
        self._clock, self._count, self._ask = clock, count, ask
        self._engines: dict[str, _Engine[R]] = {}
        self._some = asyncio.Event()

    def follow(self, uid: str, target: CanaryTarget | None) -> None:
        """Measure an engine while this is called again and again; None ends that, and forgets it."""
        if target is None:
            self._engines.pop(uid, None)
        else:
            self._followed(uid, target)
        if self._engines:
            self._some.set()
        else:
            self._some.clear()

    def _followed(self, uid: str, target: CanaryTarget) -> None:
        engine = self._engines.get(uid)
        if engine is None or (engine.target.url, engine.target.min_tokens) != (target.url, target.min_tokens):
            self._engines[uid] = _Engine(target, self._clock())
            return
        if engine.target.settings != target.settings:
            engine.tried_s = float("-inf")
        engine.target, engine.followed_s = target, self._clock()

    def baseline(self, uid: str) -> R | None:
        """The reading without a bound; None where it isn't known."""
        engine = self._engines.get(uid)
        if engine is None or engine.baseline is None or not self._counts(engine.baseline):
            return None
        return engine.baseline[0]

    def measured(self, uid: str) -> R | None:
        """The reading under the bound that is in force; None where it isn't known."""
        engine = self._engines.get(uid)
        if engine is None or engine.measured is None:
            return None
        reading, at_s, settings = engine.measured
        return reading if self._clock() - at_s <= FRESH_S and settings == engine.target.settings else None

    async def run(self) -> None:
        """Measure what is due, one engine at a time, until cancelled; idle while no engine is followed."""
        async with engine_clients.sessions(answer_s=ANSWER_S) as session:
            while True:
                await self._some.wait()
                await self.turn(session)
                await asyncio.sleep(TURN_S)

    async def turn(self, session: aiohttp.ClientSession) -> None:
        """Measure the engine that has waited longest, if one is due."""
        now = self._clock()
        due = [uid for uid, engine in self._engines.items() if self._due(engine, now)]
        if due:
            await self._measure(session, min(due, key=lambda uid: self._engines[uid].tried_s))

    async def _measure(self, session: aiohttp.ClientSession, uid: str) -> None:
        engine = self._engines[uid]
        target, engine.tried_s = engine.target, self._clock()
        try:
            found = await self._ask(session, target)
            outcome = MEASURED if self._engines.get(uid) is engine and engine.target == target else OVERTAKEN
        except OtherStatus:
            outcome = REFUSED
        except (aiohttp.ClientError, OSError):
            outcome = UNREACHABLE
        except ValueError:
            outcome = UNREADABLE
        self._count(outcome)
        if outcome != MEASURED:
            return
        if target.bounded:
            engine.measured = found, self._clock(), target.settings
        else:
            engine.baseline = found, self._clock()

    def _due(self, engine: _Engine[R], now: float) -> bool:
        waits = now - engine.tried_s < (EVERY_S if engine.target.bounded else RETRY_S)
        if waits or now - engine.followed_s > FOLLOWED_S or engine.target.bounded is None:
            return False
        if engine.target.bounded:
            return True
        return engine.baseline is None or now - engine.baseline[1] >= BASELINE_S

    def _counts(self, baseline: tuple[R, float]) -> bool:
        return self._clock() - baseline[1] <= BASELINE_LASTS_S
