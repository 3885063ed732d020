"""
Names in the cluster: CoreDNS on the node, behind the Service that pods ask.

Pods of a LeaderWorkerSet find their leader by name, and so does whoever follows a
Service's. CoreDNS runs as a process of the node, with the one plug-in that answers from
the API; a Service without a selector leads to it. It knows no names outside the cluster,
to which there is no way from here either.
"""

from collections.abc import Callable
from pathlib import Path

from testbed.cluster.certificates import Authority, Pair
from testbed.cluster.clients import Client, Object
from testbed.cluster.machines import Machine

DOMAIN = "cluster.local"
USER = "system:coredns"
PORT = 53

COREFILE = """\
.:53 {{
    bind {address}
    errors
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
"""
"""A second's life for an answer: tests look at what has just changed."""


def start(
    machine: Machine,
    program: Path,
    *,
    client: Client,
    authority: Authority,
    kubeconfig: Callable[[str, Pair], Path],
) -> None:
    """Start CoreDNS on the node, with its rights and its Service; it answers a moment later."""
    client.apply(_rights())
    client.apply(_service(machine.network.dns, machine.network.node))
    settings = authority.directory.parent / "Corefile"
    path = kubeconfig("coredns", authority.client(USER))
    settings.write_text(COREFILE.format(address=machine.network.node, domain=DOMAIN, kubeconfig=path))
    machine.start("coredns", [program, "-conf", settings])


def _rights() -> list[Object]:
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}
    version = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": USER}}
    return [
        {**version, "kind": "ClusterRole", "rules": rules},
        {**version, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
    ]


def _service(address: str, node: str) -> list[Object]:
    protocols = [{"name": kind.lower(), "port": PORT, "protocol": kind} for kind in ("UDP", "TCP")]
    labels = {"kubernetes.io/service-name": "kube-dns"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": address, "ports": protocols},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-node", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [node], "conditions": {"ready": True}}],
        "ports": protocols,
    }
    return [service, endpoints]
