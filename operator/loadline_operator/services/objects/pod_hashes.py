"""
Whether pods that serve may stay as they are, though this operator would make others.

A new version of the operator makes other pods of the same spec: a further probe, a newer
engine. That is no reason to restart what serves. So each workload carries a hash of what
was asked for (the fields of the spec that shape pods, and what the cluster's defaults
say) and one of the pods that were made of it. Where the same was asked for and only the
pods would differ, those that are there stay until something else is asked for.

Workloads of a version that left no such hash stay while the spec is the one that the
status is about.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from loadline_api.inference_services import InferenceService
from loadline_api.names import GROUP, PREFILL_POOL, ROUTER_POOL
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Kind, Manifest
from loadline_operator.services.objects.defaults import Defaults

POD_HASH = f"{GROUP}/pods"
"""Annotation of workloads: the hash of what was asked for, and that of the pods, with a dot between."""

TEMPLATES = {DEPLOYMENTS: "template", LEADER_WORKER_SETS: "leaderWorkerTemplate"}
"""Where a workload's spec says what its pods are like."""

SHAPES = ("model", "parallelism", "engine", "template")
"""Fields of a spec that shape every engine's pods."""


class PodHash(NamedTuple):
    """What a workload's pods were made for, and what they were made as."""

    asked: str
    pods: str

    def __str__(self) -> str:
        return f"{self.asked}.{self.pods}"

    @classmethod
    def read(cls, annotations: Mapping[str, str]) -> "PodHash | None":
        """The hashes of a workload; None where an older version made it."""
        asked, _, pods = annotations.get(POD_HASH, "").partition(".")
        return cls(asked, pods) if asked else None


def pod_hash(
    service: InferenceService, pool: str, *, defaults: Defaults, kind: Kind, manifest: Manifest
) -> PodHash:
    """The hashes of a workload that this operator makes."""
    return PodHash(
        _hash(_asked_for(service, pool, defaults=defaults)), _hash(manifest["spec"][TEMPLATES[kind]])
    )


def stays(wanted: PodHash, there: PodHash | None, *, service: InferenceService) -> bool:
    """Whether the pods that are there were asked for alike, but made otherwise."""
    if there is None:
        return service.status.observed_generation == service.metadata.generation
    return there.asked == wanted.asked and there.pods != wanted.pods


def kept(kind: Kind, *, manifest: Manifest, there: Manifest, pod_hash: PodHash) -> Manifest:
    """The manifest with the pods of the object that is there, with their own hash."""
    field, metadata = TEMPLATES[kind], manifest["metadata"]
    spec = {**manifest["spec"], field: there["spec"][field]}
    annotations = {**metadata["annotations"], POD_HASH: str(pod_hash)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _asked_for(service: InferenceService, pool: str, *, defaults: Defaults) -> list[Any]:
    """What was asked for, as far as it shapes a pool's pods; counts and objectives don't."""
    spec = service.spec
    told: list[Any] = [pool, spec.prefill is not None, defaults.model_dump(mode="json", exclude_unset=True)]
    if pool == ROUTER_POOL:
        return [*told, _dump(spec.router, exclude={"replicas"})]
    told += [_dump(spec, include=set(SHAPES)), spec.kv_cache.dtype.value if spec.kv_cache else None]
    if pool == PREFILL_POOL:
        told.append(_dump(spec.prefill, include={"parallelism", "template"}))
    return told


def _dump(part: Any, **which: set[str]) -> Any:
    return part.model_dump(mode="json", exclude_defaults=True, **which) if part is not None else None


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
