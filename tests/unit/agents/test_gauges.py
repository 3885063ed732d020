"""The agent's gauges: one table, and a reading that fits its gauge."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadline_agent import gauges
from loadline_agent.gauges import Gauge
from loadline_agent.metrics import Metrics


def test_every_gauge_has_a_name_of_its_own() -> None:
    names = [gauge.name for gauge in gauges.ALL]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("gauge", gauges.ALL, ids=lambda gauge: gauge.name)
def test_a_gauge_is_exported_with_its_help_and_labels(gauge: Gauge) -> None:
    metrics = Metrics()
    metrics.read(lambda: [gauge.reading(1.5, *gauge.labels)])
    families = {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}
    family = families[gauge.name]
    (sample,) = family.samples
    assert (family.type, family.documentation) == ("gauge", gauge.help)
    assert (sample.value, sample.labels) == (1.5, {label: label for label in gauge.labels})


@pytest.mark.parametrize("labels", [(), ("A", "Enabled", "more")])
def test_a_label_too_few_or_too_many_is_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="loadline_power_gpu_persistence_mode has the labels"):
        gauges.GPU_PERSISTENCE_MODE.reading(1.0, *labels)
