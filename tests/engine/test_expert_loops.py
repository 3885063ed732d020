"""A real engine under the agent's loop over experts: bounded under pressure, by a document, under a guard."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadline_agent.experts.canaries import Canaries
from loadline_agent.experts.expert_loops import ExpertLoop, ServedEngine
from loadline_agent.metrics import Metrics
from loadline_agent.workers.worker_records import Sections
from loadline_api.experts import Experts, ExpertsGuard, ExpertsMode, Gamma
from loadline_api.journals import Component, Journal
from loadline_api.worker_messages import WorkerReport
from loadline_policies.experts.service_loads import Pressure, Reason
from testbed.doubles.expert_engines import experts_document
from testbed.doubles.worker_agents import POD, TOKEN, WorkerAgent
from testbed.engines import expert_models
from testbed.engines.processes import Engines, Server
from testbed.engines.venvs import Venv

pytestmark = pytest.mark.timeout(900)

MIN_TOKENS = 64
PATIENT = "maxDroppedPercent: 100, maxWithoutExpertPermille: 1000, maxCanaryDriftMillinats: 10000"
SETTINGS = f"cooldownSeconds: 1, minGainPercent: 1, {PATIENT}"
DOCUMENT = "schema: policies.loadline.dev/v1alpha1\nloop: experts\npolicy: capacity-factor\nsettings: {%s}\n"
LOOSE = ExpertsGuard(
    max_dropped_percent=100, max_without_expert_permille=1000, max_canary_drift_millinats=10_000
)
MISSED = Pressure(least=1.2, estimate=1.2, most=1.2)
WORDS = "the harbour lies at the mouth of a slow river between two hills " * 10


@dataclass
class Loop:
    """The agent's loop before one engine, whose latencies the test sets."""

    url: str = ""
    document: str = SETTINGS
    experts: Experts = field(
        default_factory=lambda: Experts(
            mode=ExpertsMode.ENFORCE, min_tokens=MIN_TOKENS, gamma=Gamma(min_percent=100), guard=LOOSE
        )
    )

    def __post_init__(self) -> None:
        metrics = Metrics()
        self.canaries = Canaries(time.monotonic, lambda outcome: metrics.canaries.labels(outcome).inc())
        self.loop = ExpertLoop(
            lambda namespace, name: ServedEngine(url=self.url, experts=self.experts, pressure=MISSED),
            self.canaries,
            journal=Journal(Component.AGENT, wall=time.time),
            metrics=metrics,
            clock=time.monotonic,
        )

    def answer(self, report: WorkerReport) -> Sections:
        document = experts_document(DOCUMENT % self.document)
        return {"experts": self.loop.section(report, document)}

    @property
    def gamma(self) -> int | None:
        """The γ that all ranks report to hold, in thousandths."""
        (engine,) = self.loop.engines(within_s=12.0)
        return engine.window.last.gamma_thousandths if engine.bounded and engine.window.last else None

    @property
    def reason(self) -> Reason:
        (engine,) = self.loop.engines(within_s=12.0)
        return engine.capacity.reason


@pytest.fixture
async def loop() -> AsyncIterator[Loop]:
    loop = Loop()
    measuring = asyncio.create_task(loop.canaries.run())
    yield loop
    measuring.cancel()


async def test_an_engine_is_bounded_under_pressure_by_the_document_and_until_the_guard_trips(
    engine_venv: Venv, plugins: Path, tmp_path: Path, loop: Loop
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    async with WorkerAgent(answers=loop.answer, clock=time.monotonic) as agent:
        with Engines(engine_venv, expert_models.ensure("olmoe"), plugins=plugins) as engines:
            server = await asyncio.to_thread(start, engines, agent, file)
            loop.url = server.url
            await until(lambda: loop.gamma is not None, server)
            assert loop.canaries.baseline_known(POD.uid)
            assert loop.gamma != 1000
            await until(lambda: loop.canaries.drift_nats(POD.uid) is not None, server)

            loop.document = f"{SETTINGS}, minGammaPercent: 100, maxGammaPercent: 100"
            await until(lambda: loop.gamma == 1000, server)

            loop.experts = loop.experts.model_copy(update={"guard": ExpertsGuard(max_dropped_percent=0)})
            await until(lambda: loop.gamma is None and loop.reason is Reason.GUARD_BREACHED, server)


async def until(holds: Callable[[], bool], server: Server, *, within_s: float = 90.0) -> None:
    """Send large batches until it is so, each with another beginning, so that no prefix is cached."""
    end_s = time.monotonic() + within_s
    for number in itertools.count():
        await asyncio.to_thread(server.complete, f"{number} {time.monotonic()} {WORDS}")
        await asyncio.sleep(0.2)
        if holds():
            return
        assert time.monotonic() < end_s


def start(engines: Engines, agent: WorkerAgent, token_file: Path) -> Server:
    """An engine in the environment that its pod would have, as if its experts were on eight ranks."""
    told = {
        "NAMESPACE": POD.namespace,
        "SERVICE": "chat",
        "POOL": "main",
        "POD_NAME": POD.name,
        "POD_UID": POD.uid,
        "AGENT": f"http://127.0.0.1:{agent.port}",
        "TOKEN_FILE": str(token_file),
        "EXPERTS": "enforce",
        "EXPERTS_LEAST_TOKENS": str(MIN_TOKENS),
        "EXPERTS_RANKS": "8",
    }
    environment = {f"LOADLINE_{name}": value for name, value in told.items()}
    server = engines.start("chat", VLLM_PLUGINS="loadline", **environment)
    server.wait()
    return server
