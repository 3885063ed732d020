"""The gauges of an agent that leads its row keep their names and labels: dashboards hold them."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed.doubles.rows import LoneRow

GAUGES = {
    "loadline_power_armed": (),
    "loadline_power_conflict": ("reason",),
    "loadline_power_domain_brakes": ("domain",),
    "loadline_power_domain_budget_watts": ("domain",),
    "loadline_power_domain_enforcing": ("domain",),
    "loadline_power_domain_heat_ratio": ("domain",),
    "loadline_power_domain_level": ("domain", "level", "policy_hash"),
    "loadline_power_domain_nodes": ("domain",),
    "loadline_power_domain_relieved_services": ("domain",),
    "loadline_power_domain_silent_nodes": ("domain",),
    "loadline_power_domain_watts": ("domain",),
    "loadline_power_gpu_able": ("gpu",),
    "loadline_power_gpu_clock_cap_mhz": ("gpu",),
    "loadline_power_gpu_clock_lockable": ("gpu",),
    "loadline_power_gpu_limit_watts": ("gpu",),
    "loadline_power_gpu_ok": ("gpu",),
    "loadline_power_gpu_persistence_mode": ("gpu", "mode"),
    "loadline_power_gpu_safe_watts": ("gpu",),
    "loadline_power_gpu_watts": ("gpu",),
    "loadline_power_guard_age_seconds": (),
    "loadline_power_guard_errors": (),
    "loadline_power_guard_interventions": (),
    "loadline_power_leading": (),
    "loadline_power_lease_seconds": (),
    "loadline_power_left_behind_gpus": (),
    "loadline_power_node_watts": (),
    "loadline_power_orphaned": (),
}


@pytest.mark.slow
def test_a_leading_agents_gauges_are_these(tmp_path: Path) -> None:
    with LoneRow(tmp_path, count=1) as row:
        row.start()
        row.wait(row.enforced)
        text = row.ask(row.nodes[0], "/metrics")
    gauges = {
        family.name: tuple(sorted({label for sample in family.samples for label in sample.labels}))
        for family in text_string_to_metric_families(text)
        if family.type == "gauge" and not family.name.endswith("_created")
    }
    assert gauges == GAUGES
