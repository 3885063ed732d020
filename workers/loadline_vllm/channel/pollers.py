"""
The channel's carrier: it reports every few seconds, and carries each change of settings to all ranks.

Two tasks run in the event loop of the engine's front-end. One posts reports and hands the answers to
`settings_leases`; the other waits for what is due and sends it to the ranks. So a slow engine delays no
report, and an agent that doesn't answer delays no step back to no-op settings. Neither ever raises: whatever
goes wrong is counted and logged, the lease runs out, and the engine serves on.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from pydantic import JsonValue, ValidationError

from loadline_api.worker_messages import WorkerPod, WorkerReport, decode_worker_settings, encode
from loadline_policies.errors import InvalidInput, LeaseRefused
from loadline_vllm.channel.agent_clients import AgentClient, Unanswered
from loadline_vllm.channel.channel_metrics import ChannelMetrics
from loadline_vllm.channel.settings_leases import NO_OP, Change, SettingsLease

EVERY_S: Final = 3.0
"""Between two reports. Chosen: an edit of a policy reaches an engine within five seconds."""

RETRY_S: Final = 3.0
"""Until no-op settings that not all ranks took are sent again. Chosen."""

logger = logging.getLogger("vllm.loadline")

Counters = Mapping[str, dict[str, JsonValue]]

Apply = Callable[[Change], Awaitable[Sequence[int | None]]]
"""Sends a change to all ranks; the generation that each rank then holds, None for one that failed."""


async def no_counters() -> Counters:
    """The counters of an engine in which no loop counts anything."""
    return {}


class Poller:
    """The channel of one engine with `ranks` ranks."""

    def __init__(
        self,
        client: AgentClient,
        apply: Apply,
        *,
        pod: WorkerPod,
        service: str,
        pool: str,
        ranks: int,
        metrics: ChannelMetrics,
        counters: Callable[[], Awaitable[Counters]] = no_counters,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        self.lease = SettingsLease(ranks)
        self._client, self._apply, self._counters = client, apply, counters
        self._pod, self._service, self._pool = pod, service, pool
        self._metrics, self._clock, self._every_s = metrics, clock, every_s
        self._answered = asyncio.Event()
        self._problem = ""

    async def run(self) -> None:
        """Report and apply until cancelled."""
        async with self._client:
            await asyncio.gather(self._report(), self._follow())

    async def _report(self) -> None:
        while True:
            try:
                await self._exchange()
                self._log("")
            except (Unanswered, InvalidInput, LeaseRefused) as error:
                reason = error.reason if isinstance(error, Unanswered) else "unreadable"
                self._metrics.count("stale" if isinstance(error, LeaseRefused) else reason)
                self._log(str(error))
            except Exception as error:  # a fault of ours must not end the channel, nor reach the engine
                self._metrics.count("failure")
                self._log(f"a report failed: {error!r}")
            await asyncio.sleep(self._every_s * random.uniform(0.9, 1.1))

    async def _exchange(self) -> None:
        sent_s = self._clock()
        body = await self._client.post(encode(await self._made()))
        self.lease.receive(decode_worker_settings(body), sent_s=sent_s, now=self._clock())
        self._metrics.count("answered")
        self._answered.set()

    async def _made(self) -> WorkerReport:
        """A report; without counters if these are beyond the bounds, or if the settings changed meanwhile."""
        before = self.lease.generation
        counters = dict(await self._counters())
        bare = WorkerReport(
            pod=self._pod,
            service=self._service,
            pool=self._pool,
            ranks=self.lease.ranks,
            generation=self.lease.generation,
            highest=self.lease.highest,
            withdrawn=self.lease.withdrawn,
        )
        if before is None or before != bare.generation:
            return bare
        try:
            return WorkerReport.model_validate({**dict(bare), "counters": counters})
        except ValidationError as error:
            self._log(f"counters are left out of the report: {error.errors(include_url=False)[0]['msg']}")
            return bare

    async def _follow(self) -> None:
        while True:
            self._answered.clear()
            change = self.lease.due(self._clock())
            if change is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._answered.wait(), self.lease.lasts_s(self._clock()))
                continue
            taken = self.lease.acknowledge(await self._sent(change))
            self._metrics.settled(self.lease)
            if not taken and change == NO_OP:
                await asyncio.sleep(RETRY_S)

    async def _sent(self, change: Change) -> Sequence[int | None]:
        try:
            return await self._apply(change)
        except Exception:
            logger.exception("Loadline's settings %d could not be sent to the ranks", change.generation)
            return ()

    def _log(self, problem: str) -> None:
        """Log what is wrong when it begins, and when it is over."""
        if problem and not self._problem:
            logger.warning("Loadline's agent gives no settings: %s", problem)
        elif self._problem and not problem:
            logger.info("Loadline's agent gives settings again")
        self._problem = problem
