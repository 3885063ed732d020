"""
CustomResourceDefinitions of other projects, as they release them: in their Go modules.

What a service becomes where LeaderWorkerSet, the Prometheus operator or a Gateway with
the inference extension is installed, and what scales it where KEDA is, is checked against
their real schemas. A module is
downloaded once, into Go's own cache, and `go` compares it with the checksum in go.sum.
Only the schemas are taken: whose controllers a test needs runs them itself.
"""

from dataclasses import dataclass

import yaml

from testbed.cluster import toolchains
from testbed.cluster.binaries import MODULES, version
from testbed.cluster.builds import module_directory
from testbed.cluster.clients import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Where a definition lies: the pinning module in `modules`, what it requires, the file in that."""

    module: str
    requirement: str
    file: str


LEADER_WORKER_SETS = Definition(
    module="lws",
    requirement="sigs.k8s.io/lws",
    file="config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
)
POD_MONITORS = Definition(
    module="definitions",
    requirement="github.com/prometheus-operator/prometheus-operator",
    file="example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
)
SCALED_OBJECTS = Definition(
    module="definitions",
    requirement="github.com/kedacore/keda/v2",
    file="config/crd/bases/keda.sh_scaledobjects.yaml",
)
INFERENCE_POOLS = Definition(
    module="definitions",
    requirement="sigs.k8s.io/gateway-api-inference-extension",
    file="config/crd/bases/inference.networking.k8s.io_inferencepools.yaml",
)


def read(definition: Definition) -> Object:
    """The definition's object; raises BuildFailed when its module can't be had."""
    pinned = f"{definition.requirement}@v{version(definition.module, definition.requirement)}"
    directory = module_directory(MODULES / definition.module, pinned, go=toolchains.go())
    return dict(yaml.safe_load((directory / definition.file).read_text()))
