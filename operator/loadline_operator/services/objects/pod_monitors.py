"""
PodMonitors, where the Prometheus operator is installed: engines and routers.

Both kinds of pod serve `/metrics`, but a router hands that path of its main port on to
an engine, so it is read at a port of its own. Pods of a group that answer nobody have
no port and are left out. The labels that agents and dashboards know become labels of
every series.
"""

from loadline_api.inference_services import InferenceService
from loadline_api.names import MAIN_POOL, POOL_LABEL, PREFILL_POOL, ROUTER_POOL, SERVICE_LABEL
from loadline_operator.kube.kinds import POD_MONITORS, Key, Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.pools import object_name


def pod_monitors(service: InferenceService, defaults: Defaults) -> list[Manifest]:
    """The PodMonitor of the engines, and that of the routers if there are some."""
    made = [_monitor(service, defaults, MAIN_POOL, pools=[MAIN_POOL, PREFILL_POOL], port="http")]
    if service.spec.router is not None:
        made.append(_monitor(service, defaults, ROUTER_POOL, pools=[ROUTER_POOL], port="metrics"))
    return made


def _monitor(
    service: InferenceService, defaults: Defaults, pool: str, *, pools: list[str], port: str
) -> Manifest:
    name = service.metadata.name
    key = Key(service.metadata.namespace, object_name(name, pool))
    labels = {**defaults.monitor_labels, **({POOL_LABEL: pool} if pool == ROUTER_POOL else {})}
    spec = {
        "selector": {
            "matchLabels": {SERVICE_LABEL: name},
            "matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": pools}],
        },
        "podTargetLabels": [SERVICE_LABEL, POOL_LABEL],
        "podMetricsEndpoints": [{"port": port, "path": "/metrics"}],
    }
    return {**POD_MONITORS.manifest(key, labels=labels), "spec": spec}
