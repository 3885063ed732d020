"""
The page of the metrics: what the agents, the operator and the engines' plugin export.

Counters and histograms come from the registries as the processes make them, in which every series is born
at zero, so that labels and their values are there before anything has happened. The agent's gauges come
from its table of them, since most appear only once there is a GPU, a domain or a service.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from loadline_agent import gauges
from loadline_agent.metrics import Metrics as AgentMetrics
from loadline_api.names import AGENT_METRICS_PORT, OPERATOR_METRICS_PORT
from loadline_operator.metrics import Metrics as OperatorMetrics
from loadline_vllm import presence
from loadline_vllm.admission import metrics as admission_metrics
from loadline_vllm.channel import channel_metrics
from loadline_vllm.expert_layers import metrics as experts_metrics
from loadline_vllm.retention import metrics as retention_metrics
from reference_pages.markdown import code, prose, table
from reference_pages.pages import Page

Row = tuple[str, str, str, str]

PLUGIN = channel_metrics, experts_metrics, admission_metrics, retention_metrics
"""Modules whose `ALL` are series of the plugin's."""

CONTROLLER = "CONTROLLER"
"""Stands for the name of a controller, of which the operator has several."""

READING = (
    f"Agents serve their metrics at port {AGENT_METRICS_PORT} of their pods, the operator at port"
    f" {OPERATOR_METRICS_PORT}, both under `/metrics`; with the chart's `monitoring` values the Prometheus"
    " operator scrapes them and loads the alerts. If all values of a label are known, they are listed."
    " Counters and labels with known values start at zero, so that a rate sees the first event. Each counter"
    " and histogram also has a gauge `…_created`: the time when it began, in Unix seconds."
)


def page() -> Page:
    """The agent's metrics, the operator's, the plugin's."""
    return Page(
        file="metrics.md",
        title="Metrics",
        about=(
            "Loadline's agents, its operator and the plugin in the engines export metrics for Prometheus."
            " This page lists every one of them with its type, its labels and its meaning."
        ),
        source="the registries of `loadline_agent`, `loadline_operator` and `loadline_vllm`",
        sections=(
            READING,
            "## Agent",
            _table([*_of_text(AgentMetrics().text()), *_of_agent_gauges()]),
            "## Operator",
            _table(_of_text(_operator_text())),
            "## Plugin of the engines",
            "An engine that runs with Loadline's plugin serves these beside its own metrics; those about"
            " reports and settings only if the plugin knows the agent of its node.",
            _table(_of_plugin()),
        ),
    )


def _table(rows: Iterable[Row]) -> str:
    return table(("Metric", "Type", "Labels", "Meaning"), sorted(rows))


def _operator_text() -> bytes:
    metrics = OperatorMetrics()
    metrics.add_loop(CONTROLLER)
    return metrics.text()


def _of_text(text: bytes) -> Iterator[Row]:
    for family in text_string_to_metric_families(text.decode()):
        if not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield code(name), family.type, _labels(family), prose(family.documentation)


def _labels(family: Metric) -> str:
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    return "; ".join(_label(name, known) for name, known in values.items() if name != "le")


def _label(name: str, known: Iterable[str]) -> str:
    """A label and its known values; nothing without a label."""
    if not name:
        return ""
    told = [value for value in known if value != CONTROLLER]
    return f"{code(name)}: {', '.join(told)}" if told else code(name)


def _of_agent_gauges() -> Iterator[Row]:
    for gauge in gauges.ALL:
        yield code(gauge.name), "gauge", "; ".join(map(code, gauge.labels)), prose(gauge.help)


def _of_plugin() -> Iterator[Row]:
    for series in (
        *presence.FLAGS,
        *channel_metrics.ALL,
        *experts_metrics.ALL,
        *admission_metrics.ALL,
        *retention_metrics.ALL,
    ):
        name = f"{series.name}_total" if series.type == "counter" else series.name
        yield code(name), series.type, _label("; ".join(series.labels), series.values), prose(series.help)
