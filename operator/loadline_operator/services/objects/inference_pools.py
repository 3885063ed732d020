"""
The InferencePool of a service, for Gateways with the inference extension.

It stands in the router's place: a service with a router has one already, and one that
splits prefill from decode needs it. The API asks for a picker (a Service that the
Gateway asks where to send a request), which isn't ours to run; so a pool is made only
where the cluster's defaults name one. If that picker fails, requests still go to any
pod of the pool.
"""

from loadline_api.inference_services import InferenceService
from loadline_api.names import ENGINE_PORT
from loadline_operator.kube.kinds import INFERENCE_POOLS, Key, Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.pools import pools_of

PICKER_PORT = 9002
"""Where endpoint pickers listen, by the extension's convention."""


def inference_pools(service: InferenceService, defaults: Defaults) -> list[Manifest]:
    """The service's InferencePool, if it has no router and the cluster has a picker."""
    if service.spec.router is not None or defaults.endpoint_picker is None:
        return []
    name = service.metadata.name
    picker = {
        "name": defaults.endpoint_picker.replace("{service}", name),
        "port": {"number": PICKER_PORT},
        "failureMode": "FailOpen",
    }
    spec = {
        "selector": {"matchLabels": pools_of(service)[0].selector},
        "targetPorts": [{"number": ENGINE_PORT}],
        "endpointPickerRef": picker,
    }
    return [{**INFERENCE_POOLS.manifest(Key(service.metadata.namespace, name)), "spec": spec}]
