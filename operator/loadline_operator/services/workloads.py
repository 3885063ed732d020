"""
The Deployment and the Service of an InferenceService, as manifests to apply.

One container named `vllm` serves the model on one port; its arguments come from the
spec, everything about it can be changed by `template`. Pods and workloads carry the
labels by which agents find priority and objectives, and owner references let the
cluster collect everything when the service goes, with or without an operator.

Each manifest carries the hash of itself as an annotation: what an edit *removes* from
the spec shows there, where a comparison of fields would not see it.
"""

import hashlib
import json

from loadline_api.inference_services import InferenceService, Parallelism
from loadline_api.names import GROUP, POOL_LABEL, SERVICE_LABEL
from loadline_operator.kinds import DEPLOYMENTS, INFERENCE_SERVICES, SERVICES, Key, Manifest
from loadline_operator.services.templates import lay_over

MAIN_POOL = "main"
CONTAINER = "vllm"
IMAGE = "docker.io/vllm/vllm-openai:v0.32.0"
"""The engine that the plugins are built for; `template` names another."""

PORT = 8000
GPU_RESOURCE = "nvidia.com/gpu"
APPLIED = f"{GROUP}/applied"
"""Annotation: the hash of the manifest that was applied."""

SERVED_BY_ID = "hf://"
LOCAL = "file://"


def labels_of(service: InferenceService) -> dict[str, str]:
    """The labels that select the pods of the main pool."""
    return {SERVICE_LABEL: service.metadata.name, POOL_LABEL: MAIN_POOL}


def selector_of(service: InferenceService) -> str:
    """The same as text, as `/scale` wants it."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels_of(service).items()))


def deployment(service: InferenceService) -> Manifest:
    """The main pool."""
    labels = labels_of(service)
    template = lay_over({"metadata": {"labels": labels}, "spec": _pod(service)}, service.spec.template)
    template = lay_over(template, {"metadata": {"labels": labels}})
    spec = {
        "replicas": service.spec.replicas,
        "selector": {"matchLabels": labels},
        "template": template,
    }
    return _signed({**DEPLOYMENTS.manifest(_key(service), **_metadata(service)), "spec": spec})


def front(service: InferenceService) -> Manifest:
    """The Service in front of the main pool."""
    spec = {
        "selector": labels_of(service),
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
    }
    return _signed({**SERVICES.manifest(_key(service), **_metadata(service)), "spec": spec})


def is_ours(observed: Manifest, service: InferenceService) -> bool:
    """Whether an object of our name belongs to this service and not to somebody else."""
    owners = observed["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == service.metadata.uid for owner in owners)


def arguments(service: InferenceService) -> list[str]:
    """What the engine is started with."""
    model = service.spec.model
    assert model is not None, "a service without a model has no workload of ours"
    spread = service.spec.parallelism or Parallelism()
    degrees = {"tensor": spread.tensor, "pipeline": spread.pipeline, "data": spread.data}
    return [
        f"--model={model.uri.removeprefix(SERVED_BY_ID).removeprefix(LOCAL)}",
        f"--served-model-name={model.name or service.metadata.name}",
        f"--port={PORT}",
        *(f"--{name}-parallel-size={degree}" for name, degree in degrees.items() if degree > 1),
        *(["--enable-expert-parallel"] if spread.expert else []),
    ]


def _pod(service: InferenceService) -> Manifest:
    gpus = (service.spec.parallelism or Parallelism()).gpus
    container = {
        "name": CONTAINER,
        "image": IMAGE,
        "args": arguments(service),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"limits": {GPU_RESOURCE: str(gpus)}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
    }
    return {"containers": [container]}


def _metadata(service: InferenceService) -> dict[str, object]:
    owner = {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": INFERENCE_SERVICES.kind,
        "name": service.metadata.name,
        "uid": service.metadata.uid,
        "controller": True,
    }
    return {"labels": labels_of(service), "ownerReferences": [owner]}


def _key(service: InferenceService) -> Key:
    return Key(service.metadata.namespace, service.metadata.name)


def _signed(manifest: Manifest) -> Manifest:
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": {APPLIED: digest}}}
