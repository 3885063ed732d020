"""
Parts of other projects, as their users have them: definitions as published, controllers as built.

Loadline attaches to workloads of KServe and LeaderWorkerSet, and makes LeaderWorkerSets
itself. What it reads of them is tested against their own definitions, which lie in
`tests/peers` with their origin, and against LeaderWorkerSet's real controllers, started
as a process of the bed. Those do part of their work in webhooks, so the API server is told
to call the process itself, under a certificate made here.
"""

import base64
import json
import lzma
import shutil
import socket
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from testbed.api_callers import eventually
from testbed.cluster import binaries
from testbed.cluster.bed import Bed
from testbed.cluster.certificates import Authority
from testbed.cluster.clients import Object
from testbed.cluster.control_planes import ENVIRONMENT
from testbed.cluster.errors import ApiError
from testbed.cluster.processes import Process

PUBLISHED = Path(__file__).parents[1] / "tests" / "peers"

LEADER_WORKER_SETS = "leaderworkerset.x-k8s.io_leaderworkersets"
DISAGGREGATED_SETS = "disaggregatedset.x-k8s.io_disaggregatedsets"
ROLE_SCALERS = "disaggregatedset.x-k8s.io_disaggregatedsetrolescalers"
KSERVE_SERVICES = "serving.kserve.io_inferenceservices"
KSERVE_LLM_SERVICES = "serving.kserve.io_llminferenceservices"

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

GROUPS: Object = {
    "apiGroups": ["leaderworkerset.x-k8s.io"],
    "apiVersions": ["v1"],
    "resources": ["leaderworkersets"],
}
PODS: Object = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
OF_GROUPS, OF_PODS = "leaderworkerset-x-k8s-io-v1-leaderworkerset", "-v1-pod"
EDITS, MAKING = ("CREATE", "UPDATE"), ("CREATE",)

WEBHOOKS = {
    "MutatingWebhookConfiguration": (
        ("mleaderworkerset.kb.io", f"mutate-{OF_GROUPS}", GROUPS, EDITS),
        ("mpod.kb.io", f"mutate-{OF_PODS}", PODS, MAKING),
    ),
    "ValidatingWebhookConfiguration": (
        ("vleaderworkerset.kb.io", f"validate-{OF_GROUPS}", GROUPS, EDITS),
        ("vpod.kb.io", f"validate-{OF_PODS}", PODS, EDITS),
    ),
}
"""As in LeaderWorkerSet's `config/webhook/manifests.yaml`: name, path, what is sent there and when."""

READY_S = 60.0
"""Its caches sync within a second or two; the rest is for a busy machine."""


@cache
def definition(name: str) -> Object:
    """A CustomResourceDefinition as its project publishes it; it is shared, so change a copy."""
    text = lzma.decompress((PUBLISHED / f"{name}.yaml.xz").read_bytes())
    return dict(yaml.load(text, Loader=yaml.CSafeLoader))


def install(bed: Bed, *names: str) -> None:
    """Define kinds and return once all their versions are served, which takes large ones seconds."""
    for name in names:
        wanted = definition(name)
        eventually(partial(bed.client.create, DEFINITIONS, wanted), patience_s=READY_S)
        bed.client.await_definition(f"{DEFINITIONS}/{wanted['metadata']['name']}")


def uninstall(bed: Bed, name: str) -> None:
    """Take a kind and all its objects away, and return once they are gone."""
    path = f"{DEFINITIONS}/{definition(name)['metadata']['name']}"
    bed.client.delete(path)
    eventually(lambda: _gone(bed, path), patience_s=READY_S)


def start_leader_worker_sets(bed: Bed) -> Process:
    """LeaderWorkerSet on a bed: its definitions, its controllers and their webhooks.

    It runs as the administrator: its own rights are its project's affair.
    """
    install(bed, LEADER_WORKER_SETS)
    bed.apply([_never_used("disaggregatedset.x-k8s.io", "DisaggregatedSet")])
    home = bed.directory / "lws"
    authority = Authority(home / "pki")
    shown, port = authority.server("webhooks"), _free_port()
    shutil.copyfile(shown.certificate, home / "tls.crt")
    shutil.copyfile(shown.key, home / "tls.key")
    (home / "config.yaml").write_text(json.dumps(_configuration(home, port)))
    (program,) = binaries.need("lws-controller-manager")
    environment = {**ENVIRONMENT, "KUBECONFIG": str(bed.kubeconfig)}
    process = bed.spawn("lws", [str(program), f"--config={home / 'config.yaml'}"], environment=environment)
    process.until(lambda: _listens(port), timeout_s=READY_S)
    bed.apply(_webhooks(f"https://127.0.0.1:{port}", authority.pair.certificate.read_bytes()))
    return process


def _configuration(home: Path, port: int) -> Object:
    return {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(home)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    }


def _webhooks(url: str, ca: bytes) -> list[Object]:
    """The registrations of its manifests, called by URL, since there is no Service."""
    return [
        _registration(kind, [_hook(hook, url=url, ca=ca) for hook in hooks])
        for kind, hooks in WEBHOOKS.items()
    ]


def _registration(kind: str, hooks: list[Object]) -> Object:
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "lws"}}
    return {**head, "webhooks": hooks}


def _hook(hook: tuple[str, str, Object, tuple[str, ...]], *, url: str, ca: bytes) -> Object:
    name, path, what, operations = hook
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": f"{url}/{path}", "caBundle": base64.b64encode(ca).decode()},
        "rules": [{**what, "operations": list(operations)}],
    }


def _never_used(group: str, kind: str) -> Object:
    """A bare definition of a kind that the controllers insist on watching."""
    plural = f"{kind.lower()}s"
    schema: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            # The group is under review by name, which the API server asks to be said.
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in of a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


def _gone(bed: Bed, path: str) -> None:
    try:
        bed.client.get(path)
    except ApiError as error:
        assert error.code == 404
        return
    raise AssertionError(f"{path} is still there")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
