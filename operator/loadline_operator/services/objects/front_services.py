"""
Where clients send their requests: one Service, named like the InferenceService.

It leads to the routers where there are some, else to the engines that answer; of a
replica over several nodes that is its leader. Its port is called `http` by whoever asks for
it by name; where the engines serve TLS, meshes and Gateways read that from `appProtocol`.
"""

from loadline_api.names import ENGINE_PORT, HTTP_PORT
from loadline_operator.kube.kinds import SERVICES, Manifest
from loadline_operator.services.objects.descriptions import Description


def front_service(one: Description) -> Manifest:
    port: Manifest = {"name": HTTP_PORT, "port": ENGINE_PORT, "targetPort": HTTP_PORT, "protocol": "TCP"}
    if one.scheme == "https":
        port["appProtocol"] = one.scheme
    spec = {"selector": one.front.selector, "ports": [port]}
    return {**SERVICES.manifest(one.key), "spec": spec}
