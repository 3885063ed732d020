"""
How many pods of a pool a drain may take at once: one, where another can take its place.

A budget on a single replica would only keep a node from ever being drained, so there is
none. Pods that don't work are no loss, and may always be evicted.
"""

from loadline_operator.kube.kinds import POD_DISRUPTION_BUDGETS, Manifest
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.pools import Group


def disruption_budgets(one: Description) -> list[Manifest]:
    """A budget for each group with more than one replica, the routers among them."""
    return [_budget(group) for group in one.groups if group.replicas > 1]


def _budget(group: Group) -> Manifest:
    spec = {
        "selector": {"matchLabels": group.labels},
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**POD_DISRUPTION_BUDGETS.manifest(group.key, labels=group.labels), "spec": spec}
