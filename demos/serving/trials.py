"""
Trials of a served model: a rollout under load, a scale to zero and back, separate prefill and decode.

Each trial does to a service what its user would do, and returns the result; the caller judges it.
Tests and the benchmark use the same trials, so that the benchmark measures what is tested.
`plain_rollout` is the baseline: the same engine as an ordinary Deployment behind an ordinary Service.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from demos.serving.clusters import ServingCluster
from demos.serving.completions import Load, Tally
from demos.serving.services import Service
from loadline_api import names
from testbed.cluster.clients import Object
from testbed.cluster.waits import wait_for

SLOW = {"STANDIN_ITL_MS": "20"}
"""Slow answers, so that requests are in flight whenever a pod ends."""

WARM_ANSWERS, AFTER_ANSWERS = 10, 10
SOON_S = 90.0

PROMPTS = (
    "The load line of a ship shows how deep she may lie in the water",
    "A sailor in the harbour counts the anchors of the fleet before the storm",
    "Tide and wind, said the pilot, and then the lighthouse went dark",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The completions of the same prompts with separate prefill engines and without."""

    external_tokens: float
    texts: tuple[str, ...]
    unsplit_texts: tuple[str, ...]


def manifest(name: str = "chat", **spec: Any) -> Object:
    """An InferenceService of the tiny model behind a router, unless the spec says otherwise."""
    whole = {"model": {"uri": "file:///models/tiny"}, "router": {"policy": "RoundRobin"}, **spec}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICES.kind,
        "metadata": {"name": name},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def told(**environment: str) -> Object:
    """A pod template that sets environment variables of the stand-in engine."""
    listed = [{"name": name, "value": value} for name, value in environment.items()]
    return {"spec": {"containers": [{"name": names.ENGINE_CONTAINER, "env": listed}]}}


def serve(cluster: ServingCluster, *, namespace: str, name: str = "chat", **spec: Any) -> Service:
    """Apply an InferenceService and wait until it is Ready."""
    cluster.apply(manifest(name, **spec), namespace=namespace)
    service = cluster.service(name, namespace)
    service.until("Ready", "True")
    return service


def split(cluster: ServingCluster, namespace: str) -> Split:
    """Complete the prompts with separate prefill and decode engines, then with a single engine."""
    apart = serve(cluster, namespace=namespace, name="apart", prefill={"replicas": 1})
    texts = tuple(apart.complete(prompt) for prompt in PROMPTS)
    tokens = apart.external_kv_tokens()
    remove(apart)
    alone = serve(cluster, namespace=namespace, name="alone", router=None)
    unsplit = tuple(alone.complete(prompt) for prompt in PROMPTS)
    remove(alone)
    return Split(external_tokens=tokens, texts=texts, unsplit_texts=unsplit)


def rollout(cluster: ServingCluster, namespace: str, **spec: Any) -> Tally:
    """Replace every engine under a steady load; returns how its requests ended."""
    shape = {"replicas": 2, "template": told(**SLOW), **spec}
    service = serve(cluster, namespace=namespace, **shape)

    def change() -> None:
        cluster.apply(manifest(**shape, engine={"maxModelLength": 1024}), namespace=namespace)
        service.until("Ready", "True")

    return _under_load(Load(service.url, service.model), change=change, uids=lambda: _uids(service))


def plain_rollout(cluster: ServingCluster, namespace: str) -> Tally:
    """The same for an ordinary Deployment and Service with a readiness probe."""
    url = _plain(cluster, namespace=namespace, version="1")

    def change() -> None:
        _plain(cluster, namespace=namespace, version="2")

    def uids() -> set[str]:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        found = cluster.bed.client.get(pods, labelSelector="app=plain")["items"]
        return {pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]}

    return _under_load(Load(url, "plain"), change=change, uids=uids)


def to_zero_and_back(service: Service) -> bool:
    """Scale a service to zero and back to one; whether it then answers."""
    service.scale(0)
    service.until("Ready", "False", reason="ScaledToZero")
    until(lambda: not service.pods("main"))
    service.scale(1)
    service.until("Ready", "True")
    return bool(service.complete(PROMPTS[0]))


def until(holds: Callable[[], bool], limit_s: float = SOON_S) -> None:
    """Wait until `holds` returns True; GaveUp if it doesn't in time."""
    wait_for(lambda: holds() or None, "it holds", standstill_s=limit_s)


def _under_load(load: Load, *, change: Callable[[], None], uids: Callable[[], set[str]]) -> Tally:
    """Perform `change` under load, and wait until all earlier pods are gone and new ones have answered."""
    with load:
        until(lambda: load.tally.answered > WARM_ANSWERS)
        before = uids()
        change()
        until(lambda: not before & uids())
        answered = load.tally.answered
        until(lambda: load.tally.answered > answered + AFTER_ANSWERS)
    return load.tally


def _uids(service: Service) -> set[str]:
    return {pod["metadata"]["uid"] for pod in service.pods("main")}


def remove(service: Service) -> None:
    kubectl = service.bed.kubectl
    kubectl("delete", names.INFERENCE_SERVICES.full_name, service.name, "--namespace", service.namespace)
    until(lambda: not service.pods("main"))


def _plain(cluster: ServingCluster, *, namespace: str, version: str) -> str:
    """Apply the plain Deployment, wait for its rollout, and return its URL."""
    labels = {"app": "plain"}
    container: Mapping[str, Any] = {
        "name": "engine",
        "image": cluster.engine_image,
        "args": ["--served-model-name=plain", "--port=8000"],
        "env": [*told(**SLOW)["spec"]["containers"][0]["env"], {"name": "VERSION", "value": version}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2},
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    head = {"metadata": {"name": "plain"}}
    ports = {"selector": labels, "ports": [{"port": 8000, "targetPort": 8000}]}
    cluster.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", **head, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", **head, "spec": ports},
        namespace=namespace,
    )
    cluster.bed.wait("rollout", "status", "deployment/plain", namespace=namespace, standstill_s=120.0)
    front = cluster.bed.client.get(f"/api/v1/namespaces/{namespace}/services/plain")
    return f"http://{front['spec']['clusterIP']}:8000"
