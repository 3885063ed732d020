"""
Whether pods that serve may stay as they are, though this operator would make others.

A new version of the operator makes other pods of the same spec: a further probe, a newer
engine. That is no reason to restart what serves. So each workload carries a hash of what
was asked for (the wish: the fields of the spec that shape pods, and what the cluster's
defaults say) and one of the pods that were made of it. Where the wish is the same and
only the pods would differ, those that are there stay until the wish changes.

Workloads of a version that left no such mark stay while the spec is the one that the
status is about.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from loadline_api.inference_services import InferenceService
from loadline_api.names import GROUP, PREFILL_POOL, ROUTER_POOL
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Kind, Manifest
from loadline_operator.services.objects.defaults import Materials

MARK = f"{GROUP}/pods"
"""Annotation of workloads: the hash of the wish, and that of the pods, with a dot between."""

TEMPLATES = {DEPLOYMENTS: "template", LEADER_WORKER_SETS: "leaderWorkerTemplate"}
"""Where a workload's spec says what its pods are like."""

SHAPES = ("model", "parallelism", "engine", "template")
"""Fields of a spec that shape every engine's pods."""


class Mark(NamedTuple):
    """What a workload's pods were made for, and what they were made as."""

    wish: str
    pods: str

    def __str__(self) -> str:
        return f"{self.wish}.{self.pods}"

    @classmethod
    def read(cls, annotations: Mapping[str, str]) -> "Mark | None":
        """The mark of a workload; None where an older version made it."""
        wish, _, pods = annotations.get(MARK, "").partition(".")
        return cls(wish, pods) if wish else None


def mark(service: InferenceService, pool: str, materials: Materials, kind: Kind, manifest: Manifest) -> Mark:
    """The mark of a workload that this operator makes."""
    return Mark(_hash(_wish(service, pool, materials)), _hash(manifest["spec"][TEMPLATES[kind]]))


def stays(wanted: Mark, there: Mark | None, service: InferenceService) -> bool:
    """Whether the pods that are there were asked for by the same wish, but made otherwise."""
    if there is None:
        return service.status.observed_generation == service.metadata.generation
    return there.wish == wanted.wish and there.pods != wanted.pods


def kept(kind: Kind, manifest: Manifest, there: Manifest, mark: Mark) -> Manifest:
    """The manifest with the pods of the object that is there, marked as what they were made as."""
    field, metadata = TEMPLATES[kind], manifest["metadata"]
    spec = {**manifest["spec"], field: there["spec"][field]}
    annotations = {**metadata["annotations"], MARK: str(mark)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _wish(service: InferenceService, pool: str, materials: Materials) -> list[Any]:
    """What was asked for, as far as it shapes a pool's pods; counts and objectives don't."""
    spec = service.spec
    told: list[Any] = [pool, spec.prefill is not None, materials.model_dump(mode="json", exclude_unset=True)]
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
