"""
Who the pods of a service are: an account without rights for engines, and one for routers
that may see the pods of its namespace.

Engines talk to nobody's API, so no token is mounted; the account keeps them from being
`default`, to which somebody may have given rights. A router finds engines by watching
pods: the chart ships that right as a ClusterRole, and is bound here in one namespace only.
"""

from loadline_api.inference_services import InferenceService
from loadline_api.names import POOL_LABEL, ROUTER_POOL, ROUTER_ROLE
from loadline_operator.kube.kinds import ROLE_BINDINGS, SERVICE_ACCOUNTS, Key, Manifest
from loadline_operator.services.objects.pools import router_name

RBAC = "rbac.authorization.k8s.io"
ROUTER = {POOL_LABEL: ROUTER_POOL}


def engine_account(service: InferenceService) -> str:
    """The name of the engines' account; the service's own could be `default`."""
    return f"{service.metadata.name}-engine"


def router_account(service: InferenceService) -> str:
    """The name of the routers' account."""
    return router_name(service.metadata.name)


def accounts(service: InferenceService) -> list[Manifest]:
    """The accounts of the service's pods; those that need a token ask for it themselves."""
    namespace = service.metadata.namespace
    made = [SERVICE_ACCOUNTS.manifest(Key(namespace, engine_account(service)))]
    if service.spec.router is not None:
        made.append(SERVICE_ACCOUNTS.manifest(Key(namespace, router_account(service)), labels=ROUTER))
    return [{**one, "automountServiceAccountToken": False} for one in made]


def bindings(service: InferenceService) -> list[Manifest]:
    """The router's right to see pods of the service's namespace."""
    if service.spec.router is None:
        return []
    key = Key(service.metadata.namespace, router_account(service))
    subject = {"kind": "ServiceAccount", "name": key.name, "namespace": key.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": ROUTER_ROLE}
    return [{**ROLE_BINDINGS.manifest(key, labels=ROUTER), "roleRef": role, "subjects": [subject]}]
