"""
How many pods of a pool a drain may take at once: one, where another can take its place.

A budget on a single replica would only keep a node from ever being drained, so there is
none. Pods that don't work are no loss, and may always be evicted.
"""

from loadline_api.inference_services import InferenceService
from loadline_api.names import ROUTER_POOL
from loadline_operator.kube.kinds import POD_DISRUPTION_BUDGETS, Key, Manifest
from loadline_operator.services.objects.pools import labels_of, object_name, pools_of


def disruption_budgets(service: InferenceService) -> list[Manifest]:
    """A budget for each pool with more than one replica, the routers among them."""
    sizes = {pool.name: pool.replicas for pool in pools_of(service)}
    if service.spec.router is not None:
        sizes[ROUTER_POOL] = service.spec.router.replicas
    return [_budget(service, pool) for pool, replicas in sizes.items() if replicas > 1]


def _budget(service: InferenceService, pool: str) -> Manifest:
    name = service.metadata.name
    labels = labels_of(name, pool)
    key = Key(service.metadata.namespace, object_name(name, pool))
    spec = {
        "selector": {"matchLabels": labels},
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**POD_DISRUPTION_BUDGETS.manifest(key, labels=labels), "spec": spec}
