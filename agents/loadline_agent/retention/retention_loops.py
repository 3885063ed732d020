"""
The loop over what requests hold, of one node: for each engine that reports, the budget of its new requests.

A decision is made when a report arrives, and its answer carries it, under the lease of the channel. An engine
that doesn't report gets none, and its requests keep what they did at its start. State is kept for each pod in
memory: an agent that was restarted begins without a budget, and the engine with it.

What a policy that sets no budget, a service that doesn't allow it and a fault have in common is the answer:
no settings.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from loadline_agent.canaries.measurements import CanaryTarget
from loadline_agent.metrics import Metrics
from loadline_agent.reported_engines import ReportedEngines
from loadline_agent.retention import spec_budgets
from loadline_agent.retention.memory_readings import PrefixHits, memory
from loadline_agent.retention.recall_canaries import RecallCanaries
from loadline_api import kv_counts, kv_retention_counts
from loadline_api.journals import Journal
from loadline_api.kv_counts import AdmissionCounts
from loadline_api.kv_retention import Retention, RetentionMode
from loadline_api.kv_retention_counts import RetentionCounts
from loadline_api.kv_retention_settings import RetentionSettings
from loadline_api.reasons import Reason
from loadline_api.worker_messages import SettingsSection, WorkerReport
from loadline_policies.documents import ServiceDocument
from loadline_policies.errors import InvalidInput
from loadline_policies.kv.engine_memories import CanaryReadings, EngineMemory, Retained, RetentionPolicy
from loadline_policies.loops import Loop

UNCOUNTED_S: Final = 20.0
"""How long reports may lack counts, or show other settings than the engine was sent. Chosen: the plugin reads
them every few seconds, between two steps."""

RETRY_S: Final = 60.0
"""After a fault, for how long an engine gets no settings. Chosen."""

log = structlog.get_logger("loadline.agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainingEngine:
    """An engine of a service on this node: where its API is, and what its spec says of retention.

    `url` is None while the pod has no address.
    """

    url: str | None = None
    retention: Retention = field(default_factory=Retention)


EngineOf = Callable[[str, str], RetainingEngine | None]
"""The engine in a pod, by the pod's namespace and name; None if it is of no known service."""


@dataclass(slots=True)
class RetentionEngine:
    """What is kept of one engine between two reports.

    `counts` are the last that it reported, at `counted_s`, and None before the first; `agreed_s` is when they
    last showed the budget that it was sent. `decided` is None without a policy that decides.
    """

    service: str
    reported_s: float
    counted_s: float
    agreed_s: float
    retention: Retention = field(default_factory=Retention)
    counts: RetentionCounts | None = None
    admission: AdmissionCounts | None = None
    canary: CanaryReadings = field(default_factory=CanaryReadings)
    hits: PrefixHits = field(default_factory=PrefixHits)
    policy: RetentionPolicy[Any, Any] | None = None
    state: Any = None
    decided: Retained | None = None
    sent: RetentionSettings | None = None
    reason: Reason = Reason.NOT_TOLD
    fault: str = ""
    failed_s: float = float("-inf")

    @property
    def bounds(self) -> bool:
        """Whether it has read back that its requests may be bounded."""
        return spec_budgets.bounds(self.retention, self.decided, self.counts)

    @property
    def agrees(self) -> bool:
        """Whether it reports the budget that it was sent last."""
        expected = self.sent.kept_tokens if self.sent is not None else spec_budgets.at_start(self.retention)
        return self.counts is not None and self.counts.kept_tokens == expected


class RetentionLoop:
    """The engines of one node, by the uids of their pods."""

    def __init__(
        self,
        engine_of: EngineOf,
        canaries: RecallCanaries,
        *,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._engine_of, self._canaries = engine_of, canaries
        self._journal, self._metrics, self._clock = journal, metrics, clock
        self._engines = ReportedEngines(
            lambda service, now: RetentionEngine(service, now, counted_s=now, agreed_s=now),
            clock=clock,
            forget=lambda uid: canaries.follow(uid, None),
        )

    def section(self, report: WorkerReport, document: ServiceDocument) -> SettingsSection:
        """What a worker gets for its requests, by what it reports and the document in force."""
        served = self._engine_of(report.pod.namespace, report.pod.name) or RetainingEngine()
        engine = self._engines.seen(report)
        engine.retention = served.retention
        before = engine.decided.kept_tokens if engine.decided is not None else None
        part, load = "counts", EngineMemory()
        try:
            self._take(engine, report)
            part = "policy"
            load = self._memory(engine, uid=report.pod.uid)
            engine.decided = self._decided(engine, load, document)
            if self._clock() - engine.failed_s >= RETRY_S:
                engine.fault = ""
        except Exception as error:  # whatever fails here, the report is answered
            self._failed(engine, report, part=part, error=error)
        if engine.decided is not None and engine.decided.kept_tokens != before:
            self._record(report, document, load=load, decided=engine.decided)
        engine.sent = spec_budgets.settings(served.retention, engine.decided, engine.counts)
        engine.reason = self._reason(engine)
        self._measure(engine, served, document, report=report)
        return SettingsSection(
            policy=document.policy.name,
            policy_hash=document.hash,
            settings=engine.sent.encode() if engine.sent is not None else {},
        )

    def engines(self, *, within_s: float) -> Iterator[RetentionEngine]:
        """Those that have reported lately, and have reported retention or were asked for it."""
        return (one for one in self._engines.lately(within_s) if one.reason is not Reason.NOT_TOLD)

    def _take(self, engine: RetentionEngine, report: WorkerReport) -> None:
        """Take the counts of a report; for a while it may have none, and those before stand."""
        now, section = self._clock(), report.counters.get(Loop.KV_RETENTION.value)
        if section is None:
            if now - engine.counted_s >= UNCOUNTED_S:
                engine.counts = engine.admission = None
            return
        engine.counts, engine.counted_s = kv_retention_counts.decode(section), now
        engine.admission = _admission(report)
        engine.hits.add(engine.counts, now=now)
        if engine.agrees:
            engine.agreed_s = now

    def _memory(self, engine: RetentionEngine, *, uid: str) -> EngineMemory:
        engine.canary = self._canaries.readings(uid)
        return memory(
            engine.counts,
            engine.admission,
            prefix_hit_percent=engine.hits.hit_percent,
            canary=engine.canary,
            baseline_known=self._canaries.baseline(uid) is not None,
            allowance=spec_budgets.allowance(engine.retention, engine.counts),
            age_s=self._clock() - engine.counted_s,
        )

    def _decided(
        self, engine: RetentionEngine, load: EngineMemory, document: ServiceDocument
    ) -> Retained | None:
        policy = document.policy
        if not isinstance(policy, RetentionPolicy) or self._clock() - engine.failed_s < RETRY_S:
            engine.policy = engine.state = None
            return None
        if engine.policy is not policy:
            engine.policy, engine.state = policy, policy.start
        decided, engine.state = policy.decide(load, engine.state, document.config, self._clock())
        return decided

    def _reason(self, engine: RetentionEngine) -> Reason:
        """NOT_TOLD where an engine reports nothing of retention, and was not asked to, or not for long."""
        if engine.fault:
            return Reason.READINGS_UNKNOWN
        if engine.counts is None:
            is_early = self._clock() - engine.counted_s < UNCOUNTED_S
            asked = engine.retention.mode is not RetentionMode.OFF
            return Reason.ENGINE_UNABLE if asked and not is_early else Reason.NOT_TOLD
        late = not engine.agrees and self._clock() - engine.agreed_s >= UNCOUNTED_S
        return spec_budgets.reason(engine.retention, engine.decided, engine.counts, late=late)

    def _measure(
        self,
        engine: RetentionEngine,
        served: RetainingEngine,
        document: ServiceDocument,
        *,
        report: WorkerReport,
    ) -> None:
        """Have the recall probe asked where a policy may bound requests, and nowhere else."""
        policy, allowed = document.policy, spec_budgets.allowance(served.retention, engine.counts)
        may_bound = allowed.enforce and allowed.able
        if not may_bound or served.url is None or not isinstance(policy, RetentionPolicy):
            self._canaries.follow(report.pod.uid, None)
            return
        largest = max(policy.budgets(document.config), default=0)
        target = CanaryTarget(
            url=served.url,
            settings=f"{report.generation} {engine.sent}",
            bounded=engine.sent is not None if engine.agrees else None,
            min_tokens=largest + served.retention.buffer_tokens,
        )
        self._canaries.follow(report.pod.uid, target)

    def _record(
        self, report: WorkerReport, document: ServiceDocument, *, load: EngineMemory, decided: Retained
    ) -> None:
        self._metrics.retention_changes.inc()
        self._journal.write(
            f"{Loop.KV_RETENTION}/{document.policy.name}",
            kind="Pod",
            name=f"{report.pod.namespace}/{report.pod.name}",
            observation=load,
            decision=decided,
            reason=decided.reason.value,
        )

    def _failed(self, engine: RetentionEngine, report: WorkerReport, *, part: str, error: Exception) -> None:
        """Count a fault, and log it when it begins; the policy's state is lost, since it may be the cause."""
        self._metrics.retention_faults.labels(part).inc()
        engine.policy = engine.state = engine.decided = None
        engine.failed_s = self._clock()
        if part == "counts":
            engine.counts = engine.admission = None
        sentence = str(error) if isinstance(error, InvalidInput) else repr(error)
        if engine.fault != part:
            pod = f"{report.pod.namespace}/{report.pod.name}"
            log.warning("requests get no budget of a policy", pod=pod, part=part, fault=sentence[:300])
        engine.fault = part


def _admission(report: WorkerReport) -> AdmissionCounts | None:
    """What admission counts in the same engine; None where it doesn't run, or can't be read."""
    section = report.counters.get(Loop.KV.value)
    try:
        return kv_counts.decode(section).admission if section is not None else None
    except InvalidInput:
        return None  # the loop over admission counts and logs that
