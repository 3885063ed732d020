"""
A real Kubernetes for tests and demos: a control plane without containers, root or Docker,
and, as root, a node on which pods really run.

    with Bed() as bed:
        bed.add_nodes(["node-00", "node-01"])
        bed.kubectl("create", "deployment", "chat", "--image=none", "--replicas=2")

    with NodeBed() as bed:
        bed.load_image(Path("engine.tar"))
        bed.add_gpus(4)
        bed.kubectl("create", "deployment", "chat", "--image=localhost/engine:1")
"""

from testbed.cluster.bed import Bed, Identity
from testbed.cluster.node_beds import NodeBed

__all__ = ["Bed", "Identity", "NodeBed"]
