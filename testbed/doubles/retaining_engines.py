"""
An engine whose requests hold KV memory on paper, before the agent's part of the loop as in the product.

The engine has the plugin's half of the channel as it is (`SettingsLease`). Its requests would hold
`demand_percent` of the memory if they kept all tokens, and hold as much less as the budget in force is below
`WHOLE_TOKENS`. Its API answers the recall probe, with fewer facts under a budget if a test says so. Time is
the test's.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from loadline_agent.metrics import Metrics
from loadline_agent.retention.recall_canaries import RecallCanaries
from loadline_agent.retention.recall_prompts import ANSWER_TOKENS, FACTS
from loadline_agent.retention.retention_loops import RetainingEngine, RetentionLoop
from loadline_agent.retention.service_statuses import ServiceStatuses
from loadline_agent.workers.worker_records import Sections, WorkerRecords
from loadline_api.journals import Component, Journal
from loadline_api.kv_retention import Retention, RetentionMode
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_api.kv_retention_settings import RetentionSettings
from loadline_api.worker_messages import WorkerReport
from loadline_policies.documents import ServiceDocument, parse
from loadline_policies.loops import Loop
from loadline_vllm.channel.settings_leases import SettingsLease
from testbed.clocks import Clock
from testbed.doubles.agents_before_engines import AgentBeforeEngine
from testbed.doubles.worker_agents import report

POOL_BLOCKS, BLOCK_TOKENS, WHOLE_TOKENS = 1000, 16, 4096

EVERY_S: Final = 3.0
"""Between two reports, as the plugin sends them."""

DOCUMENT: Final = (
    "schema: policies.loadline.dev/v1alpha1\nloop: kv-retention\npolicy: memory-rungs\nsettings: {%s}\n"
)
QUICK: Final = (
    "retention: enforce, windowSeconds: 12, calmSeconds: 30, settleSeconds: 30, rungTokens: [2048, 1024]"
)
"""Settings by which a test needs only minutes."""


def retention_document(settings: str = QUICK) -> ServiceDocument:
    """A document of the loop kv-retention."""
    found = parse(DOCUMENT % settings, Loop.KV_RETENTION)
    assert isinstance(found, ServiceDocument)
    return found


@dataclass
class RetentionEngineOnPaper:
    """The engine. Under a budget its answer to the probe names `recalled` facts. `status` is how its API
    answers; `answers` is whether its front-end has counts at hand, `changes` what they say otherwise."""

    clock: Clock
    demand_percent: float = 50.0
    recalled: int = len(FACTS)
    status: int = 200
    answers: bool = True
    at_start: int | None = None
    lease: SettingsLease = field(default_factory=lambda: SettingsLease(1))
    kept_tokens: int | None = None
    bounded: int = 0
    prompts: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    def apply(self) -> None:
        """Take what the lease asks for."""
        while (due := self.lease.due(self.clock.now)) is not None:
            section = due.sections.get(Loop.KV_RETENTION.value)
            asked = RetentionSettings.read(section.settings if section is not None else {})
            self.kept_tokens = self.at_start if asked is None else asked.kept_tokens
            self.lease.acknowledge((due.generation,))

    def report(self) -> WorkerReport:
        """What the plugin reports now."""
        lease = self.lease
        counters = {Loop.KV_RETENTION.value: self.counts().encode()} if self.answers else {}
        return report(
            ranks=1,
            generation=lease.generation,
            highest=lease.highest,
            withdrawn=lease.withdrawn,
            counters=counters,
        )

    def counts(self) -> RetentionCounts:
        whole = self.demand_percent / 100 * POOL_BLOCKS
        held = whole if self.kept_tokens is None else whole * min(1.0, self.kept_tokens / WHOLE_TOKENS)
        requests = 8 if self.kept_tokens is not None else 0
        self.bounded += requests
        told = RetentionCounts(
            policy="streaming",
            kept_tokens=self.kept_tokens,
            block_tokens=BLOCK_TOKENS,
            pool_blocks=POOL_BLOCKS,
            used_blocks=round(min(held, POOL_BLOCKS)),
            saved_blocks=round(whole - held),
            bounded_requests=requests,
            bounded=self.bounded,
            freed_blocks=2 * self.bounded,
            folds=self.bounded,
            refused_spans=0,
            has_prefix_cache=False,
            preemptions=0,
        )
        return RetentionCounts.model_validate({**told.model_dump(), **self.changes})

    def app(self) -> web.Application:
        """Its OpenAI API, as far as the probe uses it."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}]}, status=self.status)

    async def _complete(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("tiny", ANSWER_TOKENS, 0)
        self.prompts += 1
        named = len(FACTS) if self.kept_tokens is None else self.recalled
        tokens = [*list(FACTS.values())[:named], *["."] * ANSWER_TOKENS][:ANSWER_TOKENS]
        return web.Response(body=completion(tokens), content_type="application/json")


def completion(tokens: list[str], *, logprob: float = -0.5) -> bytes:
    """The body of an engine's answer of these tokens."""
    logprobs = {
        "tokens": tokens,
        "token_logprobs": [logprob] * len(tokens),
        "top_logprobs": [{token: logprob, "other": logprob - 0.01} for token in tokens],
    }
    return json.dumps({"choices": [{"logprobs": logprobs}]}).encode()


@dataclass
class RetentionAgent(AgentBeforeEngine):
    """The agent's half of the loop, with one engine before it."""

    engine: RetentionEngineOnPaper
    retention: Retention = field(default_factory=lambda: Retention(mode=RetentionMode.ENFORCE))
    document: ServiceDocument = field(default_factory=retention_document)
    away: bool = False

    @property
    def before(self) -> RetentionEngineOnPaper:
        return self.engine

    def restart(self) -> None:
        clock = self.engine.clock
        self.metrics = Metrics()
        self.journal = Journal(Component.AGENT, node="node-0", wall=lambda: 0.0)
        self.canaries = RecallCanaries(
            clock, lambda outcome: self.metrics.recall_canaries.labels(outcome).inc()
        )
        self.loop = RetentionLoop(
            lambda namespace, name: RetainingEngine(url=self.url, retention=self.retention),
            self.canaries,
            journal=self.journal,
            metrics=self.metrics,
            clock=clock,
        )
        self.statuses = ServiceStatuses(self.loop, clock)
        self.metrics.read(self.statuses.readings)
        self.records = WorkerRecords()

    def sections(self, told: WorkerReport) -> Sections:
        return {Loop.KV_RETENTION.value: self.loop.section(told, self.document)}

    async def measure(self) -> None:
        await self.canaries.turn(self.session)

    async def play(self, seconds: float) -> list[int | None]:
        """So much time; the budget in force after each report."""
        played = []
        for _ in range(round(seconds / EVERY_S)):
            self.engine.clock.now += EVERY_S
            await self.exchange()
            played.append(self.engine.kept_tokens)
        return played
