"""
Every metric of the operator: names and labels in one place, all series born at zero.

A registry of its own, so that two operators in one process (a test's) don't meet.
Labels are bounded: kinds, verbs and results, never names of objects.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from loadline_api.conditions import SERVICE_CONDITIONS

PREFIX = "loadline_operator"

VERBS = ("get", "list", "watch", "apply", "status", "delete", "scale", "patch", "event")
KINDS = ("InferenceService", "PowerDomain", "NodeCapacity")
REFRESHED = ("PowerDomain", "NodeCapacity")
"""Kinds whose statuses are refreshed by agents, and said to be stale where they aren't."""

RESULTS = ("ok", "refused", "unavailable")
OUTCOMES = ("ok", "failed")
VERDICTS = ("True", "False", "Unknown")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Chosen: an edit shall be answered within half a second, so most buckets lie below."""


class Metrics:
    """The operator's counters, gauges and histograms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = self._counter(
            "reconciles", "Reconciles, by controller (loop) and result.", "loop", "result"
        )
        self.reconcile_seconds = Histogram(
            f"{PREFIX}_reconcile_seconds",
            "Duration of one reconcile in seconds, by controller (loop).",
            ["loop"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.requests = self._counter(
            "requests", "Requests to the API server, by verb and result.", "verb", "result"
        )
        self.writes = self._counter(
            "writes", "Objects and statuses that the operator wrote, by controller (loop).", "loop"
        )
        self.queued = self._gauge("queue_objects", "Objects in the work queue, by controller (loop).", "loop")
        self.resyncs = self._counter(
            "resyncs", "Times that a watch restarted, so that all objects were listed and reconciled again."
        )
        self.policies = self._gauge("policies", "Policy documents (ConfigMaps) that the operator watches.")
        self.policies_invalid = self._gauge(
            "policies_invalid", "Policy documents whose current version can't be used."
        )
        self.policy_refusals = self._counter(
            "policy_refusals", "Versions of policy documents that the operator refused."
        )
        self.unreadable = self._counter(
            "unreadable_objects", "Events of objects that the operator could not parse, by kind.", "kind"
        )
        self.domains = self._gauge(
            "domains", "PowerDomains, by the status of their condition Accepted.", "accepted"
        )
        self.stale_statuses = self._gauge(
            "stale_statuses", "Objects whose status its agent has not refreshed in time, by kind.", "kind"
        )
        self.services = self._gauge(
            "services", "InferenceServices, by condition and its status.", "condition", "status"
        )
        self.guards_breached = self._gauge(
            "experts_guards_breached", "InferenceServices of which a guard has ended the capacity of experts."
        )
        self.unbounded = self._gauge(
            "retention_inactive",
            "InferenceServices whose requests aren't bounded though kvCache.retention.mode is Enforce.",
        )
        self.ready = self._gauge("ready", "1 once every watch has delivered all objects, else 0.")
        self.measures: list[Callable[[], None]] = []
        self._bear()

    def text(self) -> bytes:
        """All metrics as Prometheus reads them; what is costly to keep is counted now."""
        for measure in self.measures:
            measure()
        return generate_latest(self.registry)

    def add_loop(self, loop: str) -> None:
        """Begin the series of a controller at zero, so that a rate can be taken of its first failure."""
        self.reconcile_seconds.labels(loop)
        self.writes.labels(loop)
        self.queued.labels(loop)
        for outcome in OUTCOMES:
            self.reconciles.labels(loop, outcome)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", help, labels, registry=self.registry)

    def _bear(self) -> None:
        for verb in VERBS:
            for result in RESULTS:
                self.requests.labels(verb, result)
        for verdict in VERDICTS:
            self.domains.labels(verdict)
            for condition in SERVICE_CONDITIONS:
                self.services.labels(condition, verdict)
        for kind in KINDS:
            self.unreadable.labels(kind)
        for kind in REFRESHED:
            self.stale_statuses.labels(kind)
