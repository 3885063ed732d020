"""
Where clients send their requests: one Service, named like the InferenceService.

It leads to the routers where there are some, else to the engines that answer; of a
replica over several nodes that is its leader.
"""

from loadline_api.inference_services import InferenceService
from loadline_api.names import ENGINE_PORT, ROUTER_POOL
from loadline_operator.kube.kinds import SERVICES, Key, Manifest
from loadline_operator.services.objects.pools import labels_of, pools_of


def front_service(service: InferenceService) -> Manifest:
    """The Service in front of everything."""
    name = service.metadata.name
    main = pools_of(service)[0]
    behind = main.selector if service.spec.router is None else labels_of(name, ROUTER_POOL)
    spec = {
        "selector": behind,
        "ports": [{"name": "http", "port": ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}],
    }
    return {**SERVICES.manifest(Key(service.metadata.namespace, name)), "spec": spec}
