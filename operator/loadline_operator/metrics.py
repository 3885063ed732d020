"""
Every metric of the operator: names and labels in one place, all series born at zero.

A registry of its own, so that two operators in one process (a test's) don't meet.
Labels are bounded: kinds, verbs and results, never names of objects.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

LOOPS = ("services", "domains", "documents")
VERBS = ("get", "list", "apply", "status", "event")
KINDS = ("InferenceService", "PowerDomain", "NodeCapacity")
RESULTS = ("ok", "refused", "unavailable")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Chosen: an edit shall be answered within half a second, so most buckets lie below."""


class Metrics:
    """The operator's counters, gauges and histograms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "loadline_operator_reconciles", "Reconciles by loop and result", ["loop", "result"],
            registry=self.registry,
        )  # fmt: skip
        self.reconcile_seconds = Histogram(
            "loadline_operator_reconcile_seconds", "Time of one reconcile by loop", ["loop"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.requests = Counter(
            "loadline_operator_requests", "Requests to the API server by verb and result",
            ["verb", "result"], registry=self.registry,
        )  # fmt: skip
        self.writes = Counter(
            "loadline_operator_writes", "Objects and statuses written by loop", ["loop"],
            registry=self.registry,
        )  # fmt: skip
        self.queue_depth = Gauge(
            "loadline_operator_queue_objects", "Objects that wait for their reconcile by loop", ["loop"],
            registry=self.registry,
        )  # fmt: skip
        self.resyncs = Counter(
            "loadline_operator_resyncs", "Times that everything was compared anew", registry=self.registry
        )
        self.policies = Gauge(
            "loadline_operator_policies", "Policy documents that are watched", registry=self.registry
        )
        self.policies_invalid = Gauge(
            "loadline_operator_policies_invalid", "Policy documents that can't be used as they are",
            registry=self.registry,
        )  # fmt: skip
        self.policy_refusals = Counter(
            "loadline_operator_policy_refusals", "Versions of policy documents that were refused",
            registry=self.registry,
        )  # fmt: skip
        self.unreadable = Counter(
            "loadline_operator_unreadable_objects", "Objects that could not be parsed, by kind", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        self.domains = Gauge(
            "loadline_operator_domains", "Power domains by whether they are accepted", ["accepted"],
            registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge("loadline_operator_ready", "1 once every watch has synced", registry=self.registry)
        self._bear()

    def text(self) -> bytes:
        """All metrics as Prometheus reads them."""
        return generate_latest(self.registry)

    def _bear(self) -> None:
        for loop in LOOPS:
            for result in ("ok", "failed"):
                self.reconciles.labels(loop, result)
            self.reconcile_seconds.labels(loop)
            self.writes.labels(loop)
            self.queue_depth.labels(loop)
        for verb in VERBS:
            for result in RESULTS:
                self.requests.labels(verb, result)
        for accepted in ("True", "False", "Unknown"):
            self.domains.labels(accepted)
        for kind in KINDS:
            self.unreadable.labels(kind)
