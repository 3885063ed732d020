"""
Who the pods of a service are: an account without rights for engines, and one for routers
that may see the pods of its namespace.

Engines talk to nobody's API, so no token is mounted; the account keeps them from being
`default`, to which somebody may have given rights. A router finds engines by watching
pods: the chart ships that right as a ClusterRole, and is bound here in one namespace only.
"""

from loadline_api.names import POOL_LABEL, ROUTER_POOL, ROUTER_ROLE
from loadline_operator.kube.kinds import ROLE_BINDINGS, SERVICE_ACCOUNTS, Key, Manifest
from loadline_operator.services.objects.descriptions import Description

RBAC = "rbac.authorization.k8s.io"
ROUTER = {POOL_LABEL: ROUTER_POOL}


def accounts(one: Description) -> list[Manifest]:
    """The accounts of the service's pods; those that need a token ask for it themselves."""
    made = [SERVICE_ACCOUNTS.manifest(Key(one.key.namespace, one.engine_account))]
    if one.router is not None:
        made.append(SERVICE_ACCOUNTS.manifest(one.router.key, labels=ROUTER))
    return [{**each, "automountServiceAccountToken": False} for each in made]


def bindings(one: Description) -> list[Manifest]:
    """The router's right to see pods of the service's namespace."""
    if one.router is None:
        return []
    key = one.router.key
    subject = {"kind": "ServiceAccount", "name": key.name, "namespace": key.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": ROUTER_ROLE}
    return [{**ROLE_BINDINGS.manifest(key, labels=ROUTER), "roleRef": role, "subjects": [subject]}]
