"""
The agent's half of a loop over engines, as in the product, before one engine on paper.

The engine's API is served on this machine, since canaries are asked over the network. Reports and their
answers are carried by calls, through the records and the lease that the product has. Time is the test's.
"""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp import web

from loadline_agent import engine_clients
from loadline_agent.canaries.measurements import ANSWER_S
from loadline_agent.workers.worker_records import Sections, WorkerRecords
from loadline_api.worker_messages import WorkerReport
from loadline_vllm.channel.settings_leases import SettingsLease
from testbed.clocks import Clock


class EngineOnPaper(Protocol):
    """An engine with the plugin's half of the channel."""

    clock: Clock
    lease: SettingsLease

    def app(self) -> web.Application: ...

    def report(self) -> WorkerReport: ...

    def apply(self) -> None: ...


class AgentBeforeEngine(ABC):
    """An async context manager; while the agent is `away`, the engine is answered by nobody."""

    away: bool
    records: WorkerRecords

    @property
    @abstractmethod
    def before(self) -> EngineOnPaper:
        """The engine."""

    @abstractmethod
    def restart(self) -> None:
        """Begin as an agent does that was just started."""

    @abstractmethod
    def sections(self, told: WorkerReport) -> Sections:
        """What the engine gets by its report."""

    @abstractmethod
    async def measure(self) -> None:
        """Have the canaries take a turn, by `session`."""

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.before.app())
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.session: aiohttp.ClientSession = engine_clients.sessions(answer_s=ANSWER_S)
        self.restart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        await self._runner.cleanup()

    async def exchange(self) -> None:
        """One report and its answer, if the agent is there, and a turn of the canaries."""
        engine, now = self.before, self.before.clock.now
        if not self.away:
            told = engine.report()
            answer = self.records.answer(told, self.sections(told), now=now)
            engine.lease.receive(answer, sent_s=now, now=now)
            await self.measure()
        engine.apply()
