"""What the tests on a real node share: a namespace in which pods run, and GPUs, once for all."""

import pytest

from testbed.cluster.gpus import Gpus
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.workloads import Namespace


@pytest.fixture
def space(node_bed: NodeBed, node_namespace: str) -> Namespace:
    """A namespace of its own for each test, with whatever runs there."""
    return Namespace(node_bed, node_namespace)


@pytest.fixture(scope="session")
def gpus(node_bed: NodeBed) -> Gpus:
    """Four fake GPUs on the session's node."""
    return node_bed.add_gpus(4)
