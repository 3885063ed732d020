"""What is exported of a service: what is known, and nothing for what isn't."""

from loadline_agent.workloads.engine_scrapers import Measured
from loadline_agent.workloads.node_workloads import gauges


def test_of_a_service_whose_engines_tell_nothing_nothing_is_exported() -> None:
    assert {value for _, _, value in gauges(Measured())} == {None}


def test_zero_is_exported_where_it_was_told() -> None:
    told = {name: value for name, _, value in gauges(Measured(running=0.0, kv_use=0.0))}
    assert (told["running"], told["kv_use_ratio"], told["waiting"]) == (0.0, 0.0, None)
