"""
The experts' loop of one node: for each engine that reports, what its layers of experts may do.

A decision is made when a report arrives, and its answer carries it, under the lease of the channel. An engine
that doesn't report gets none, and falls back by its lease. State is kept for each pod in memory: an agent
that was restarted begins by observing, and the engine with it.

The spec of the service narrows the policy. What a policy that doesn't bound, a service that doesn't allow it
and a fault have in common is the answer: settings that only observe.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from loadline_agent.canaries.measurements import CanaryTarget
from loadline_agent.experts import spec_bounds
from loadline_agent.experts.canaries import ExpertCanaries
from loadline_agent.experts.count_windows import CountWindow
from loadline_agent.experts.outlooks import forecasts
from loadline_agent.metrics import Metrics
from loadline_agent.reported_engines import ReportedEngines
from loadline_api.expert_counts import decode
from loadline_api.experts import Experts
from loadline_api.journals import Journal
from loadline_api.worker_messages import SettingsSection, WorkerReport
from loadline_policies.documents import ServiceDocument
from loadline_policies.errors import InvalidInput
from loadline_policies.experts.service_loads import (
    Capacity,
    ExpertsPolicy,
    GuardReadings,
    Pressure,
    Reason,
    ServiceLoad,
)
from loadline_policies.loops import Loop

RETRY_S: Final = 60.0
"""After a fault, for how long an engine's experts are only observed. Chosen."""

log = structlog.get_logger("loadline.agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEngine:
    """An engine of a service on this node: where its API is, what its spec says, and how its pool does.

    `url` is None while the pod has no address. `pressure_age_s` is the age of `pressure`.
    """

    url: str | None = None
    experts: Experts = field(default_factory=Experts)
    pressure: Pressure | None = None
    pressure_age_s: float = 0.0


EngineOf = Callable[[str, str], ServedEngine | None]
"""The engine in a pod, by the pod's namespace and name; None if it is of no known service."""


@dataclass(slots=True)
class ExpertsEngine:
    """What is kept of one engine between two reports."""

    service: str
    reported_s: float
    window: CountWindow = field(default_factory=CountWindow)
    holds: int | None = None
    policy: ExpertsPolicy[Any, Any] | None = None
    state: Any = None
    capacity: Capacity = field(default_factory=Capacity)
    drift_nats: float | None = None
    fault: str = ""
    failed_s: float = float("-inf")

    @property
    def bounded(self) -> bool:
        """Whether all ranks report to hold a capacity, and there is a layer that it bounds."""
        counts = self.window.last
        return counts is not None and self.holds is not None and spec_bounds.bounds(counts)


class ExpertLoop:
    """The engines of one node, by the uids of their pods."""

    def __init__(
        self,
        engine_of: EngineOf,
        canaries: ExpertCanaries,
        *,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._engine_of, self._canaries = engine_of, canaries
        self._journal, self._metrics, self._clock = journal, metrics, clock
        self._engines = ReportedEngines(
            ExpertsEngine, clock=clock, forget=lambda uid: canaries.follow(uid, None)
        )

    def section(self, report: WorkerReport, document: ServiceDocument) -> SettingsSection:
        """What a worker gets for its experts, by what it reports and the document in force."""
        engine = self._engines.seen(report)
        engine.holds = report.generation
        served = self._engine_of(report.pod.namespace, report.pod.name) or ServedEngine()
        try:
            part = "counts"
            self._take(engine, report)
            part = "policy"
            load = self._load(engine, served, uid=report.pod.uid)
            capacity = self._decided(engine, load, document)
            if self._clock() - engine.failed_s >= RETRY_S:
                engine.fault = ""
        except Exception as error:  # whatever fails here, the report is answered
            self._failed(engine, report, part=part, error=error)
            load, capacity = ServiceLoad(), Capacity(reason=Reason.READINGS_UNKNOWN)
        if capacity.gamma_thousandths != engine.capacity.gamma_thousandths:
            self._record(report, document, load=load, capacity=capacity)
        engine.capacity = capacity
        self._measure(engine, served, document, report=report)
        settings = spec_bounds.settings(served.experts, capacity.gamma_thousandths)
        return SettingsSection(
            policy=document.policy.name, policy_hash=document.hash, settings=settings.encode()
        )

    def engines(self, *, within_s: float) -> Iterator[ExpertsEngine]:
        """Those that have reported lately."""
        return self._engines.lately(within_s)

    def _take(self, engine: ExpertsEngine, report: WorkerReport) -> None:
        section = report.counters.get(Loop.EXPERTS.value)
        if section is None:
            engine.window = CountWindow()
        else:
            engine.window.add(decode(section), generation=report.generation, now=self._clock())

    def _load(self, engine: ExpertsEngine, served: ServedEngine, *, uid: str) -> ServiceLoad:
        counts = engine.window.last
        engine.drift_nats = self._canaries.drift_nats(uid) if engine.bounded else None
        guard = engine.window.guard if engine.bounded else GuardReadings()
        return ServiceLoad(
            forecasts=forecasts(engine.window.counts),
            pressure=served.pressure,
            placement=spec_bounds.placement(counts),
            guard=GuardReadings(
                dropped_fraction=guard.dropped_fraction,
                without_expert_fraction=guard.without_expert_fraction,
                canary_drift_nats=engine.drift_nats,
            ),
            baseline_known=self._canaries.baseline_known(uid),
            allowance=spec_bounds.allowance(served.experts, counts),
            age_s=served.pressure_age_s,
        )

    def _decided(self, engine: ExpertsEngine, load: ServiceLoad, document: ServiceDocument) -> Capacity:
        policy = document.policy
        if not isinstance(policy, ExpertsPolicy):
            engine.policy = engine.state = None
            return Capacity(reason=Reason.POLICY_OBSERVES)
        if self._clock() - engine.failed_s < RETRY_S:
            return Capacity(reason=Reason.READINGS_UNKNOWN)
        if engine.policy is not policy:
            engine.policy, engine.state = policy, policy.start
        capacity, engine.state = policy.decide(load, engine.state, document.config, self._clock())
        return capacity

    def _measure(
        self, engine: ExpertsEngine, served: ServedEngine, document: ServiceDocument, *, report: WorkerReport
    ) -> None:
        """Have the canaries measured where a policy may bound the experts, and nowhere else."""
        allowed = spec_bounds.allowance(served.experts, engine.window.last)
        may_bound = allowed.enforce and allowed.able
        if not may_bound or served.url is None or not isinstance(document.policy, ExpertsPolicy):
            self._canaries.follow(report.pod.uid, None)
            return
        asked = engine.capacity.gamma_thousandths is not None
        target = CanaryTarget(
            url=served.url,
            settings=str(report.generation),
            bounded=None if report.generation is None else engine.bounded or asked,
            min_tokens=served.experts.min_tokens,
        )
        self._canaries.follow(report.pod.uid, target)

    def _record(
        self, report: WorkerReport, document: ServiceDocument, *, load: ServiceLoad, capacity: Capacity
    ) -> None:
        self._metrics.experts_changes.inc()
        self._journal.write(
            f"experts/{document.policy.name}",
            kind="Pod",
            name=f"{report.pod.namespace}/{report.pod.name}",
            observation=load,
            decision=capacity,
            reason=capacity.reason.value,
        )

    def _failed(self, engine: ExpertsEngine, report: WorkerReport, *, part: str, error: Exception) -> None:
        """Count a fault, and log it when it begins; the policy's state is lost, since it may be the cause."""
        self._metrics.experts_faults.labels(part).inc()
        engine.policy = engine.state = None
        engine.failed_s = self._clock()
        if part == "counts":
            engine.window = CountWindow()
        sentence = str(error) if isinstance(error, InvalidInput) else repr(error)
        if engine.fault != part:
            pod = f"{report.pod.namespace}/{report.pod.name}"
            log.warning("experts are only observed", pod=pod, part=part, fault=sentence[:300])
        engine.fault = part
