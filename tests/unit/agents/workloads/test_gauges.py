"""What is exported of a service: what is known, and nothing for what isn't."""

from loadline_agent import gauges
from loadline_agent.workloads.engine_scrapers import Measured
from loadline_agent.workloads.node_workloads import measured_readings


def test_of_a_service_whose_engines_tell_nothing_nothing_is_exported() -> None:
    assert list(measured_readings("ns/chat", Measured())) == []


def test_zero_is_exported_where_it_was_told() -> None:
    told = list(measured_readings("ns/chat", Measured(running=0.0, kv_use=0.0)))
    assert told == [
        gauges.SERVICE_RUNNING.reading(0.0, "ns/chat"),
        gauges.SERVICE_KV_USE_RATIO.reading(0.0, "ns/chat"),
    ]
