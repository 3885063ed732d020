"""
Names that users build on, as they were: whoever changes one sees it here, and says so in a release.

Alerts, dashboards and scripts hold reasons, metric names, labels and annotations. A rename of
modules or classes must move none of them.
"""

from collections.abc import Callable, Iterable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadline_agent import gauges
from loadline_agent.metrics import Metrics as AgentMetrics
from loadline_api import names
from loadline_api.conditions import ConditionType
from loadline_api.reasons import Explained, Reason
from loadline_operator.metrics import Metrics as OperatorMetrics
from loadline_vllm import presence
from loadline_vllm.admission import metrics as admission_metrics
from loadline_vllm.channel import channel_metrics
from loadline_vllm.expert_layers import metrics as experts_metrics

Compare = Callable[[str, str], None]


def lines(found: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in found)


def series(text: bytes) -> Iterator[str]:
    """Each series as `type name{label}`, once."""
    for family in text_string_to_metric_families(text.decode()):
        if family.name.endswith("_created"):
            continue
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        yield f"{family.type} {family.name}{{{','.join(labels)}}}"


@pytest.mark.parametrize("words", [ConditionType, Reason])
def test_conditions_and_reasons_keep_their_words(words: type[Explained], same_as_before: Compare) -> None:
    same_as_before(words.__name__, lines(f"{word.value}: {word.sentence}" for word in words))


def test_metrics_keep_their_names_and_labels(same_as_before: Compare) -> None:
    same_as_before("metrics-agent", lines(series(AgentMetrics().text())))
    operator = OperatorMetrics()
    operator.add_loop("domains")
    same_as_before("metrics-operator", lines(series(operator.text())))
    same_as_before(
        "metrics-agent-gauges", lines(f"{one.name}{{{','.join(sorted(one.labels))}}}" for one in gauges.ALL)
    )
    named = (*presence.FLAGS, *channel_metrics.ALL, *experts_metrics.ALL, *admission_metrics.ALL)
    same_as_before("metrics-worker", lines(one.name for one in named))


def test_labels_annotations_and_paths_keep_their_names(same_as_before: Compare) -> None:
    constants = {name: value for name, value in vars(names).items() if name.isupper()}
    same_as_before("api-names", lines(f"{name} = {value!r}" for name, value in sorted(constants.items())))
