"""
An engine with layers of experts on paper, before the agent's part of the experts' loop as in the product.

The engine has the plugin's half of the channel as it is (`SettingsLease`). Each batch has the same uneven
load, and latencies follow the fullest expert. The API answers canary prompts with the log-probability that a
test sets. Time is the test's.
"""

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from loadline_agent.experts.canaries import ExpertCanaries
from loadline_agent.experts.expert_loops import ExpertLoop, ServedEngine
from loadline_agent.experts.service_statuses import ServiceStatuses
from loadline_agent.metrics import Metrics
from loadline_agent.workers.worker_records import Sections, WorkerRecords
from loadline_api.expert_counts import BoundCounts, ExpertCounts, LayerCounts
from loadline_api.expert_settings import ExpertsSettings
from loadline_api.experts import Experts, ExpertsMode
from loadline_api.journals import Component, Journal
from loadline_api.worker_messages import WorkerReport
from loadline_policies.documents import ServiceDocument, parse
from loadline_policies.experts.capacities import capacities
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.service_loads import Pressure
from loadline_policies.experts.shadow_tables import Counts, count, summed
from loadline_policies.loops import Loop
from loadline_vllm.channel.settings_leases import SettingsLease
from testbed.clocks import Clock
from testbed.doubles.agents_before_engines import AgentBeforeEngine
from testbed.doubles.worker_agents import report

TOKENS, TOP_K = 512, 2
LOADS: Final = (300, 150, 124, 100, 100, 90, 80, 80)
"""Pairs of each expert in a batch, each expert on a rank of its own: the fullest has 2.34 times the mean."""

PLACEMENT: Final = contiguous(len(LOADS), len(LOADS))
BATCH: Final = count(LOADS, tokens=TOKENS, top_k=TOP_K, placement=PLACEMENT)
NOTHING: Final = Counts(
    pairs=0,
    expert_mean=0.0,
    expert_most=0.0,
    rank_mean=0.0,
    rank_most=0.0,
    dropped=(0,) * len(BATCH.dropped),
    capped_rank_most=(0.0,) * len(BATCH.capped_rank_most),
)
FIXED: Final = 0.3
"""Share of a step that no capacity makes shorter."""

EVERY_S: Final = 3.0
"""Between two reports, as the plugin sends them."""

DOCUMENT: Final = "schema: policies.loadline.dev/v1alpha1\nloop: experts\npolicy: capacity-factor\n"


def experts_document(text: str = DOCUMENT) -> ServiceDocument:
    """A document of the experts' loop."""
    found = parse(text, Loop.EXPERTS)
    assert isinstance(found, ServiceDocument)
    return found


@dataclass
class ExpertEngine:
    """The engine; `load` is its latency without a capacity, over its objective, None without traffic.

    Under a capacity the canaries' mean log-probability is lower by `drift_nats`. `status` is how its API
    answers.
    """

    clock: Clock
    load: float | None = 1.0
    drift_nats: float = 0.0
    status: int = 200
    lease: SettingsLease = field(default_factory=lambda: SettingsLease(1))
    settings: ExpertsSettings = field(default_factory=ExpertsSettings)
    counts: Counts | None = None
    bound: BoundCounts = field(default_factory=BoundCounts)
    batches: int = 0
    prompts: int = 0

    @property
    def gamma(self) -> int | None:
        """The γ in force in thousandths, None without a capacity."""
        return self.settings.gamma_thousandths if self.settings.bounds else None

    def pressure(self) -> Pressure | None:
        """What the agent would measure of its latencies."""
        if self.load is None:
            return None
        fullest = max(LOADS) if self.gamma is None else min(max(LOADS), self._capacity(self.gamma))
        found = self.load * (FIXED + (1.0 - FIXED) * fullest / max(LOADS))
        return Pressure(least=found, estimate=found, most=found)

    def serve(self, batches: int = 10) -> None:
        """Compute so many large batches under the settings in force."""
        self.batches += batches
        more = summed([BATCH] * batches)
        assert more is not None
        self.counts = more if self.counts is None else self.counts + more
        if self.gamma is not None:
            dropped = sum(max(0, load - self._capacity(self.gamma)) for load in LOADS)
            self.bound = BoundCounts(
                bounded_batches=self.bound.bounded_batches + batches,
                tokens=(self.bound.tokens or 0) + TOKENS * batches,
                offered=self.bound.offered + sum(LOADS) * batches,
                dropped=self.bound.dropped + dropped * batches,
                without_expert=self.bound.without_expert,
            )

    def apply(self) -> None:
        """Take what the lease asks for, on all ranks; counting begins anew with it."""
        while (due := self.lease.due(self.clock.now)) is not None:
            section = due.sections.get(Loop.EXPERTS.value)
            self.settings = ExpertsSettings.read(section.settings if section is not None else {})
            self.counts, self.bound, self.batches = None, BoundCounts(), 0
            self.lease.acknowledge((due.generation,))

    def report(self) -> WorkerReport:
        """What the plugin reports now."""
        counts = self.counts or NOTHING
        layer = LayerCounts.of(counts, batches=(0, self.batches))
        section = ExpertCounts(
            mode=self.settings.mode,
            gamma_thousandths=self.settings.gamma_thousandths,
            strategy=self.settings.strategy,
            layers={"model.layers.0.mlp.experts": layer},
            bound=self.bound,
        )
        lease = self.lease
        return report(
            ranks=1,
            generation=lease.generation,
            highest=lease.highest,
            withdrawn=lease.withdrawn,
            counters={Loop.EXPERTS.value: section.encode()},
        )

    def app(self) -> web.Application:
        """Its OpenAI API, as far as canaries use it."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}]}, status=self.status)

    async def _complete(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert (asked["model"], asked["max_tokens"], asked["echo"]) == ("tiny", 0, True)
        self.prompts += 1
        logprob = -2.0 - (self.drift_nats if self.gamma is not None else 0.0)
        logprobs = [None, *[logprob] * len(asked["prompt"].split())]
        return web.json_response({"choices": [{"logprobs": {"token_logprobs": logprobs}}]})

    def _capacity(self, gamma: int) -> int:
        return capacities(PLACEMENT.replicas, gamma_thousandths=gamma, tokens=TOKENS, top_k=TOP_K)[0]


@dataclass
class ExpertAgent(AgentBeforeEngine):
    """The agent's half of the loop, with one engine before it."""

    engine: ExpertEngine
    experts: Experts = field(default_factory=lambda: Experts(mode=ExpertsMode.ENFORCE))
    document: ServiceDocument = field(default_factory=experts_document)
    away: bool = False

    @property
    def before(self) -> ExpertEngine:
        return self.engine

    def restart(self) -> None:
        clock = self.engine.clock
        self.metrics = Metrics()
        self.journal = Journal(Component.AGENT, node="node-0", wall=lambda: 0.0)
        self.canaries = ExpertCanaries(clock, lambda outcome: self.metrics.canaries.labels(outcome).inc())
        self.loop = ExpertLoop(
            lambda namespace, name: self.served(),
            self.canaries,
            journal=self.journal,
            metrics=self.metrics,
            clock=clock,
        )
        self.statuses = ServiceStatuses(self.loop, clock)
        self.metrics.read(self.statuses.readings)
        self.records = WorkerRecords()

    def served(self) -> ServedEngine:
        """What the agent knows of the engine besides its reports."""
        return ServedEngine(url=self.url, experts=self.experts, pressure=self.engine.pressure())

    def sections(self, told: WorkerReport) -> Sections:
        return {Loop.EXPERTS.value: self.loop.section(told, self.document)}

    async def measure(self) -> None:
        await self.canaries.turn(self.session)

    async def play(self, seconds: float) -> list[int | None]:
        """So much time with traffic; the γ in force after each report."""
        played = []
        for _ in range(round(seconds / EVERY_S)):
            self.engine.clock.now += EVERY_S
            self.engine.serve()
            await self.exchange()
            played.append(self.engine.gamma)
        return played
