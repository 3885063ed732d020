"""
A real Kubernetes for tests and demos, without containers, root or Docker.

    with Bed() as bed:
        bed.add_nodes(["node-00", "node-01"])
        bed.kubectl("create", "deployment", "chat", "--image=none", "--replicas=2")
"""

from hack.testenv.bed import Bed, Identity

__all__ = ["Bed", "Identity"]
