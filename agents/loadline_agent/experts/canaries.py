"""
What a capacity costs in quality, measured on the engine that serves: by canary prompts, now and then.

Of each engine that a policy may bound, the mean log-probability of the canary prompts is measured while no
capacity is in force: the baseline. While one is in force it is measured again every minute, beside the
traffic that is there, and the drift is how far it has fallen. A baseline that is old doesn't count, and is
measured anew as soon as no capacity is in force. A measurement during which the settings changed counts for
nothing.

Engines belong to tenants: an answer is bounded in size and time, no redirection is followed, and one engine
is asked at a time. An engine that wants an API key answers 401, so its drift stays unknown, and no capacity
begins there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from loadline_agent import engine_clients
from loadline_agent.engine_clients import OtherStatus
from loadline_agent.experts.canary_prompts import (
    COMPLETIONS_PATH,
    LONGEST_ANSWER,
    MODELS_PATH,
    mean_logprob,
    prompt,
    request,
    served_model,
)
from loadline_agent.metrics import CANARY_OUTCOMES

EVERY_S: Final = 60.0
"""Between two measurements of an engine under a capacity. Chosen: one large prefill a minute."""

BASELINE_S: Final = 1800.0
"""After which a baseline is measured anew while no capacity is in force. Chosen."""

RETRY_S: Final = 60.0
"""After a measurement that failed. Chosen."""

FRESH_S: Final = 200.0
"""Age above which a measurement counts no more: three of them may fail. Chosen."""

BASELINE_LASTS_S: Final = 86_400.0
"""Age above which a baseline counts no more. Chosen: a capacity seldom lasts so long."""

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

    `settings` names them; `bounded` says whether they are a capacity, None while ranks may differ: then
    nothing is measured.
    """

    url: str
    settings: str
    bounded: bool | None
    min_tokens: int


@dataclass(slots=True)
class _Engine:
    target: CanaryTarget
    followed_s: float
    baseline: tuple[float, float] | None = None
    measured: tuple[float, float, str] | None = None
    tried_s: float = float("-inf")


class Canaries:
    """The canaries of one node's engines, by the uids of their pods."""

    def __init__(self, clock: Callable[[], float], count: Callable[[str], object]) -> None:
        self._clock, self._count = clock, count
        self._engines: dict[str, _Engine] = {}
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

    def baseline_known(self, uid: str) -> bool:
        """Whether the mean log-probability without a capacity is known."""
        engine = self._engines.get(uid)
        return engine is not None and engine.baseline is not None and self._counts(engine.baseline)

    def drift_nats(self, uid: str) -> float | None:
        """By how much it has fallen under the settings that are in force; None where it isn't known."""
        engine = self._engines.get(uid)
        if engine is None or engine.baseline is None or engine.measured is None:
            return None
        (before, _), (now, at_s, settings) = engine.baseline, engine.measured
        fresh = self._clock() - at_s <= FRESH_S and settings == engine.target.settings
        return before - now if fresh and self._counts(engine.baseline) else None

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
            found = await _asked(session, target)
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

    def _due(self, engine: _Engine, now: float) -> bool:
        waits = now - engine.tried_s < (EVERY_S if engine.target.bounded else RETRY_S)
        if waits or now - engine.followed_s > FOLLOWED_S or engine.target.bounded is None:
            return False
        if engine.target.bounded:
            return True
        return engine.baseline is None or now - engine.baseline[1] >= BASELINE_S

    def _counts(self, baseline: tuple[float, float]) -> bool:
        return self._clock() - baseline[1] <= BASELINE_LASTS_S


async def _asked(session: aiohttp.ClientSession, target: CanaryTarget) -> float:
    """The mean log-probability that an engine gives the canary prompts."""
    text = prompt(target.min_tokens)
    models = await engine_clients.get(session, target.url + MODELS_PATH, most_bytes=LONGEST_ANSWER)
    asked = request(served_model(models), text)
    answer = await engine_clients.post(
        session, target.url + COMPLETIONS_PATH, asked, most_bytes=LONGEST_ANSWER
    )
    return mean_logprob(answer, least_tokens=target.min_tokens)
