"""
Watts and priorities on a real node: which pod's GPU is slowed is what the kubelet gave it.

The agent runs in its DaemonSet with the chart's rights and learns from the kubelet which
pod has which GPU.
"""

from collections.abc import Iterator

import pytest

from demos.serving.clusters import Engine, ServingCluster
from demos.serving.limits import FREE_MHZ
from demos.serving.rows import HeldRow
from demos.serving.trials import until

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def cluster() -> Iterator[ServingCluster]:
    with ServingCluster(Engine.STANDIN, gpus=4) as cluster:
        cluster.install()
        yield cluster


@pytest.fixture(scope="module")
def row(cluster: ServingCluster) -> HeldRow:
    return HeldRow(cluster)


def test_low_priority_is_slowed_and_high_keeps_its_clocks(row: HeldRow) -> None:
    assert row.clock_mhz("low") == 1110
    assert row.clock_mhz("high") == FREE_MHZ


def test_a_service_says_that_it_is_held_back(cluster: ServingCluster, row: HeldRow) -> None:
    cluster.service("low").until("PowerCapped", "True", limit_s=60)
    assert cluster.service("high").condition("PowerCapped")["status"] == "False"


def test_a_rollout_of_the_agents_at_peak_raises_no_limit(cluster: ServingCluster, row: HeldRow) -> None:
    before = cluster.system_pods("agent")
    raises = row.roll_agents()
    assert cluster.system_pods("agent") != before
    assert raises.looks > 20
    assert raises.count == 0


def test_a_released_row_has_its_clocks_back(row: HeldRow) -> None:
    row.draw(0.5)
    row.declare("Observe")
    until(lambda: row.clock_mhz("low") == FREE_MHZ, limit_s=120)
