"""
PodMonitors, where the Prometheus operator is installed: engines and routers.

Both kinds of pod serve `/metrics`, but a router hands that path of its main port on to
an engine, so it is read at a port of its own. Pods of a group that answer nobody have
no port and are left out. The labels that agents and dashboards know become labels of
every series. An engine that serves TLS is read by HTTPS, as the kubelet probes it: whoever
it says to be, since its certificate is for its clients and names no pod.
"""

from loadline_api.names import HTTP_PORT, MAIN_POOL, POOL_LABEL, PREFILL_POOL, ROUTER_POOL, SERVICE_LABEL
from loadline_operator.kube.kinds import POD_MONITORS, Key, Manifest
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.named_ports import METRICS_PORT

PATH = "/metrics"


def pod_monitors(one: Description) -> list[Manifest]:
    """The PodMonitor of the engines, and that of the routers if there are some."""
    engines: Manifest = {"port": HTTP_PORT, "path": PATH}
    if one.pools[0].engine.tls:
        engines |= {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}}
    made = [_monitor(one, one.key, pools=[MAIN_POOL, PREFILL_POOL], endpoint=engines, labels={})]
    if one.router is not None:
        routers, labels = {"port": METRICS_PORT, "path": PATH}, {POOL_LABEL: ROUTER_POOL}
        made.append(_monitor(one, one.router.key, pools=[ROUTER_POOL], endpoint=routers, labels=labels))
    return made


def _monitor(
    one: Description, key: Key, *, pools: list[str], endpoint: Manifest, labels: dict[str, str]
) -> Manifest:
    spec = {
        "selector": {
            "matchLabels": {SERVICE_LABEL: one.key.name},
            "matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": pools}],
        },
        "podTargetLabels": [SERVICE_LABEL, POOL_LABEL],
        "podMetricsEndpoints": [endpoint],
    }
    return {**POD_MONITORS.manifest(key, labels={**one.defaults.monitor_labels, **labels}), "spec": spec}
