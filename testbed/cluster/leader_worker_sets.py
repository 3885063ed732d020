"""
LeaderWorkerSets on a bed: their real controllers, as a process beside the API server.

Groups of pods across nodes are LeaderWorkerSets, whose controller manager most clusters
with large models run. It is built from its Go module, and its CRDs and webhooks are the
manifests that lie there. The API server calls the webhooks at an address of this
machine, so the bed needs no pod for any of it: either depth will do.
"""

import base64
import copy
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import yaml

from testbed.cluster import binaries, ports
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.processes import Process

PROGRAM = "lws-controller-manager"
CRDS = "config/crd/bases"
WEBHOOKS = "config/webhook/manifests.yaml"
READY_S = 60.0

OWN_PODS = {"matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]}
"""As the module's own kustomization has it: without this, every pod would wait for the webhook."""


def start(bed: Bed) -> Process:
    """Install CRDs and webhooks and start the controllers; return when they can be used."""
    (program,) = binaries.need(PROGRAM)
    manifests = binaries.sources(PROGRAM)
    for path in sorted((manifests / CRDS).glob("*.yaml")):
        bed.apply(yaml.safe_load_all(path.read_text()))
    address = urlsplit(bed.server).hostname or "127.0.0.1"
    port = ports.free(address)
    home = bed.directory / "lws"
    home.mkdir()
    shown = bed.authority.server("lws-webhooks", addresses=(address,))
    shown.certificate.rename(home / "tls.crt")
    shown.key.rename(home / "tls.key")
    (home / "configuration.yaml").write_text(
        json.dumps(_configuration(address, port, certificates=str(home)))
    )
    manager = bed.spawn(
        PROGRAM,
        [str(program), f"--config={home / 'configuration.yaml'}", "--zap-log-level=info"],
        environment={"KUBECONFIG": str(bed.kubeconfig), "POD_NAMESPACE": "kube-system"},
    )
    manager.until(lambda: _listens(address, port), timeout_s=READY_S)
    webhooks = yaml.safe_load_all((manifests / WEBHOOKS).read_text())
    url, ca = f"https://{address}:{port}", bed.ca.read_bytes()
    bed.apply(_reached_at(document, url, ca=ca) for document in webhooks)
    return manager


def _configuration(address: str, port: int, *, certificates: str) -> Object:
    return {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"host": address, "port": port, "certDir": certificates},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    }


def _reached_at(document: Any, url: str, *, ca: bytes) -> Object:
    """A webhook configuration that leads to a URL instead of a Service."""
    changed: Object = copy.deepcopy(document)
    changed["metadata"]["name"] = f"lws-{changed['metadata']['name']}"
    for webhook in changed["webhooks"]:
        path = webhook["clientConfig"]["service"]["path"]
        webhook["clientConfig"] = {"url": f"{url}{path}", "caBundle": base64.b64encode(ca).decode()}
        if webhook["name"] in {"mpod.kb.io", "vpod.kb.io"}:
            webhook["objectSelector"] = OWN_PODS
    return changed


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
