"""
Where clients send their requests: one Service, named like the InferenceService.

It leads to the routers where there are some, else to the engines that answer; of a
replica over several nodes that is its leader.
"""

from loadline_api.names import ENGINE_PORT
from loadline_operator.kube.kinds import SERVICES, Manifest
from loadline_operator.services.objects.descriptions import Description


def front_service(one: Description) -> Manifest:
    """The Service in front of everything."""
    spec = {
        "selector": one.front.selector,
        "ports": [{"name": "http", "port": ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}],
    }
    return {**SERVICES.manifest(one.key), "spec": spec}
