"""What the live demo declares, tells its plant and writes down, without a cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demos.power import costs, latencies, manifests, watches
from demos.power.plants import Control, ControlFile
from demos.power.watches import Sight
from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.power_domains import PowerDomainSpec
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidPolicy
from loadline_policies.models import parameters
from loadline_sim.demo import acts, scenarios
from loadline_sim.plant.reactions import Threshold
from testbed.cluster import janitors

SCENARIO, MODEL = scenarios.load(), parameters.load()


def declared(kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests.declarations(SCENARIO, MODEL) if one["kind"] == kind]


def test_the_domain_declares_the_scenarios_row_in_observe() -> None:
    (domain,) = declared("PowerDomain")
    spec = PowerDomainSpec.model_validate_json(json.dumps(domain["spec"]))
    assert spec.breaker.to_curve() == scenarios.CURVE
    assert spec.budget_watts == SCENARIO.budget_watts
    assert spec.mode.value == "Observe"


def test_every_server_gets_one_replica() -> None:
    specs = [InferenceServiceSpec.model_validate(one["spec"]) for one in declared("InferenceService")]
    assert sum(spec.replicas for spec in specs) == SCENARIO.servers
    assert {spec.parallelism and spec.parallelism.gpus for spec in specs} == {MODEL.gpus}
    assert [spec.priority for spec in specs] == [100, 0]


def test_a_shortened_row_has_the_same_watts_for_each_server() -> None:
    short = manifests.shortened(SCENARIO, 8)
    assert short.budget_watts / 8 == pytest.approx(SCENARIO.budget_watts / SCENARIO.servers, abs=0.1)
    assert len(manifests.node_names(short)) == 8


def test_the_plays_policies_are_good_but_for_the_broken_one() -> None:
    assert watches.DOCUMENTS.keys() == {parse_power(acts.POLICY).hash, parse_power(acts.EDITED_POLICY).hash}
    with pytest.raises(InvalidPolicy):
        parse_power(acts.BROKEN_POLICY)


def test_nothing_is_owed_without_a_control_file(tmp_path: Path) -> None:
    assert not ControlFile(tmp_path / "control.json").control.watching


def test_a_control_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = ControlFile(tmp_path / "control.json")
    control = Control(watching=True, thresholds=((0.9, 1275.0),), safe_watts=248.0)
    control.write(tmp_path / "control.json")
    assert file.control == control
    assert control.owed() == (Threshold(0.9, low_clock_mhz=1275.0), Threshold(1.0, limit_watts=248.0))


def test_latencies_are_those_of_requests_that_ended_lately(tmp_path: Path) -> None:
    came_s, took_s = np.array([0.0, 290.0, 295.0, 299.0]), np.array([5.0, 4.0, 2.0, np.nan])
    found = latencies.recent(
        ("chat", "chat", "chat", "code"), arrival_s=came_s, latency_s=took_s, now_s=300.0
    )
    assert found.keys() == {"chat"}
    assert found["chat"] == pytest.approx((3.0, 3.98))
    latencies.write(tmp_path / "latencies.json", found)
    assert latencies.read(tmp_path / "latencies.json") == found
    assert latencies.read(tmp_path / "none.json") == {}


def test_the_watch_tells_what_has_changed_and_nothing_else() -> None:
    calm = Sight(level="Normal", coordinator="node-00", policy_hash="abc")
    assert watches._news(calm, calm) == []
    raised = Sight(level="LowDeep", coordinator="node-00", policy_hash="abc", silent=2)
    assert watches._news(calm, raised) == ["level Normal → LowDeep", "2 nodes don't report"]


def test_costs_count_what_a_marked_process_used_also_after_its_end(tmp_path: Path) -> None:
    before = costs.Costs(tmp_path)
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ntime.sleep(60)"
    busy = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={janitors.MARK: str(tmp_path)}
    )
    try:
        assert busy.stdout is not None
        busy.stdout.readline()
        before.look()
    finally:
        busy.kill()
        busy.communicate()
    assert before.by_component()["other"] >= 0.19


def test_kubectl_is_counted_though_it_is_gone(tmp_path: Path) -> None:
    counted = costs.Costs(tmp_path)
    code = "import time\nwhile time.process_time() < 0.2: pass"
    counted.of_kubectl(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    assert counted.by_component()[costs.KUBECTL] >= 0.19


def test_every_component_has_a_name_of_its_own() -> None:
    assert len(set(costs.COMPONENTS.values())) == len(costs.COMPONENTS)
    assert not any(re.search(r"\s", word) for word in costs.COMPONENTS)
