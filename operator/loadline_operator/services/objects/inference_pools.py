"""
The InferencePool of a service, for Gateways with the inference extension.

It stands in the router's place: a service with a router has one already, and one that
splits prefill from decode needs it. The API asks for a picker (a Service that the
Gateway asks where to send a request), which isn't ours to run; so a pool is made only
where the cluster's defaults name one. If that picker fails, requests still go to any
pod of the pool. Engines that serve TLS themselves are in no pool, since pickers and
Gateways ask its pods by HTTP.
"""

from loadline_operator.kube.kinds import INFERENCE_POOLS, Manifest
from loadline_operator.services.objects.descriptions import Description

PICKER_PORT = 9002
"""Where endpoint pickers listen, by the extension's convention."""


def inference_pools(one: Description) -> list[Manifest]:
    """The service's InferencePool, if it has no router and the cluster has a picker."""
    if one.router is not None or one.pools[0].engine.tls or one.defaults.endpoint_picker is None:
        return []
    picker = {
        "name": one.defaults.endpoint_picker.replace("{service}", one.key.name),
        "port": {"number": PICKER_PORT},
        "failureMode": "FailOpen",
    }
    spec = {
        "selector": {"matchLabels": one.front.selector},
        "targetPorts": [{"number": one.pools[0].engine.port}],
        "endpointPickerRef": picker,
    }
    return [{**INFERENCE_POOLS.manifest(one.key), "spec": spec}]
