"""
The agent's metrics: their names, their labels, and where each value comes from.

Names and labels stand here and nowhere else; every label has a bounded set of values
(GPUs of the node, words of our own code), and every counter is born at zero, so that
a rate sees the first error. What can be read when somebody asks is read then: the
4 Hz loop pays for nothing but its counters.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from loadline_agent.gauges import Reading

EXCHANGE_OUTCOMES = ("leased", "superseded", "refused", "unanswered")
LEASE_REFUSALS = (
    *("WrongDomain", "Replayed", "BadDuration", "Expired", "OtherLease", "OldEpoch"),
    *("WrongGpus", "OutOfRange", "NotReleased", "TakeOverRaises", "Implausible"),
)
REPORT_REFUSALS = ("Unreadable", "WrongNode", "NotAMember", "Implausible", "Stranger")
LIMIT_ERRORS = ("GpuLost", "NoPermission", "OutOfRange", "HardwareError", "NotSupported", "RecordUnwritable")

SCRAPE_OUTCOMES = ("read", "unreachable", "unreadable", "foreign")

CANARY_OUTCOMES = ("measured", "unreachable", "refused", "unreadable", "overtaken")
LOOP_PARTS = ("counts", "policy")
"""Parts of a loop over engines that may fail at a report."""

WORKER_OUTCOMES = (
    *("answered", "Unreadable", "NoToken", "WrongToken", "NotAPod", "ForeignPod", "OtherNode"),
    *("OtherService", "UnknownPod", "TooMany", "NotReviewed", "NoSettings"),
)

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A counter with one label, and all of the label's values."""

    name: str
    help: str
    label: str
    values: tuple[str, ...]


EXCHANGES = Labelled(
    "loadline_power_exchanges",
    "Reports that this node sent to its coordinator, by outcome; refused: this node refused the lease that"
    " answered.",
    "outcome",
    EXCHANGE_OUTCOMES,
)
REFUSED_LEASES = Labelled(
    "loadline_power_lease_refusals", "Leases that this node refused, by reason.", "reason", LEASE_REFUSALS
)
REFUSED_REPORTS = Labelled(
    "loadline_power_report_refusals",
    "Reports that this coordinator refused, by reason; Stranger: the TLS handshake failed.",
    "reason",
    REPORT_REFUSALS,
)
FAILED_LIMITS = Labelled(
    "loadline_power_limit_errors",
    "Failed writes of power limits, clocks or the armed record, by error.",
    "error",
    LIMIT_ERRORS,
)
ENGINE_SCRAPES = Labelled(
    "loadline_engine_scrapes",
    "Scrapes of engines on this node, by outcome; foreign: the metrics are of neither vLLM nor SGLang.",
    "outcome",
    SCRAPE_OUTCOMES,
)
WORKER_REPORTS = Labelled(
    "loadline_worker_reports",
    "Reports of the plugins in this node's engines, by outcome: answered, or the reason of the refusal.",
    "outcome",
    WORKER_OUTCOMES,
)
CANARIES = Labelled(
    "loadline_experts_canaries",
    "Measurements of the canary prompts in this node's engines, by outcome; refused: by its HTTP status,"
    " overtaken: the settings changed meanwhile.",
    "outcome",
    CANARY_OUTCOMES,
)
EXPERTS_FAULTS = Labelled(
    "loadline_experts_faults",
    "Reports after which an engine's experts were only observed, because its counts were unusable or the"
    " policy failed, by part.",
    "part",
    LOOP_PARTS,
)

RECALL_CANARIES = Labelled(
    "loadline_retention_canaries",
    "Measurements of the recall probe in this node's engines, by outcome; refused: by its HTTP status,"
    " overtaken: the settings changed meanwhile.",
    "outcome",
    CANARY_OUTCOMES,
)
RETENTION_FAULTS = Labelled(
    "loadline_retention_faults",
    "Reports after which an engine got no budget of a policy, because its counts were unusable or the policy"
    " failed, by part.",
    "part",
    LOOP_PARTS,
)


class Metrics:
    """The agent's series. `read` adds a source of gauges."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._registry.register(_Gauges(self._sources))
        self.exchanges = self._labelled(EXCHANGES)
        self.lease_refusals = self._labelled(REFUSED_LEASES)
        self.report_refusals = self._labelled(REFUSED_REPORTS)
        self.limit_errors = self._labelled(FAILED_LIMITS)
        self.engine_scrapes = self._labelled(ENGINE_SCRAPES)
        self.worker_reports = self._labelled(WORKER_REPORTS)
        self.canaries = self._labelled(CANARIES)
        self.experts_faults = self._labelled(EXPERTS_FAULTS)
        self.experts_changes = self._single(
            "loadline_experts_changes",
            "Changes of an engine's capacity that the policy of the experts' loop decided.",
        )
        self.recall_canaries = self._labelled(RECALL_CANARIES)
        self.retention_faults = self._labelled(RETENTION_FAULTS)
        self.retention_changes = self._single(
            "loadline_retention_changes",
            "Changes of an engine's token budget that the policy of the loop kv-retention decided.",
        )
        self.kv_unreadable_counts = self._single(
            "loadline_kv_unreadable_counts",
            "Reports of engines whose counts of KV memory the agent couldn't read; the engines get their"
            " settings all the same.",
        )
        self.out_of_turn = self._single(
            "loadline_power_out_of_turn_reports",
            "Reports sent early because the node's draw rose above the trigger in its lease.",
        )
        self.step_downs = self._single(
            "loadline_power_step_downs",
            "Times that the node stepped down to its safe limits because it had no lease.",
        )
        self.limit_writes = self._single(
            "loadline_power_limit_writes", "NVML calls that set a power limit or a clock."
        )
        self.journal_lost_lines = self._single(
            "loadline_journal_lost_lines",
            "Lines that the journal's file didn't get, because the disk refused them or was too slow.",
        )
        self.enforce_seconds = Histogram(
            "loadline_power_enforce_seconds",
            "Seconds from a lease's arrival until its limits are written.",
            buckets=SECONDS,
            registry=self._registry,
        )

    def read(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask `source` for its gauges whenever somebody looks."""
        self._sources.append(source)

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self._registry)

    def _labelled(self, series: Labelled) -> Counter:
        counter = Counter(series.name, series.help, [series.label], registry=self._registry)
        for value in series.values:
            counter.labels(value)
        return counter

    def _single(self, name: str, help: str) -> Counter:
        return Counter(name, help, registry=self._registry)


class _Gauges(Collector):
    """Turns the sources' readings into families of gauges."""

    def __init__(self, sources: list[Callable[[], Iterable[Reading]]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for source in self._sources:
            for reading in source():
                gauge = reading.gauge
                family = families.setdefault(
                    gauge.name, GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
                )
                family.add_metric(reading.labels, reading.value)
        yield from families.values()
