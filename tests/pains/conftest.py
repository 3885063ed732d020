"""
A control plane with the real operator, for pains that need no running pod.

None of the optional APIs is installed on it: no KEDA, LeaderWorkerSet, KServe, Prometheus
operator or Gateway. Autoscalers and quotas are Kubernetes' own and at work.
"""

import itertools
from collections.abc import Iterator

import pytest

from testbed import charts
from testbed.cluster.bed import Bed
from testbed.cluster.control_planes import CONTROLLERS
from testbed.doubles.operators import LoneOperator, own_namespace

NUMBERS = itertools.count(1)
NODES = ("pier-0", "pier-1", "pier-2")
"""Of eight GPUs each."""

MORE_CONTROLLERS = ("horizontal-pod-autoscaler-controller", "resourcequota-controller")


@pytest.fixture(scope="package")
def pier() -> Iterator[Bed]:
    """A bed with the chart, without agents."""
    with Bed(controllers=(*CONTROLLERS, *MORE_CONTROLLERS)) as bed:
        bed.apply(charts.control_plane_objects())
        bed.add_nodes(NODES)
        yield bed


@pytest.fixture(scope="package")
def operator(pier: Bed) -> Iterator[LoneOperator]:
    """The running operator."""
    one = LoneOperator(pier)
    one.start()
    yield one
    assert one.stop() == 0


@pytest.fixture
def namespace(pier: Bed) -> Iterator[str]:
    """A namespace of the test's own; what is in it goes with it."""
    with own_namespace(pier, f"pain-{next(NUMBERS)}") as name:
        yield name
