"""
Whether pods that serve may stay as they are, though this operator would make others.

A new version of the operator makes other pods of the same spec: a further probe, a newer
engine. That is no reason to restart what serves. So each workload carries a hash of what
was asked for (the spec without what shapes no pod, and what the cluster's defaults say)
and one of the pods that were made of it. Where the same was asked for and only the pods
would differ, those that are there stay until something else is asked for.

Workloads of a version that left no such hash stay while the spec is the one that the
status is about.
"""

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from loadline_api.inference_services import InferenceService, InferenceServiceSpec
from loadline_api.kv_retention import Retention, RetentionMode
from loadline_api.names import GROUP, PREFILL_POOL, ROUTER_POOL
from loadline_operator.kube.kinds import DEPLOYMENTS, LEADER_WORKER_SETS, Kind, Manifest
from loadline_operator.services.objects.descriptions import Description

POD_HASH = f"{GROUP}/pods"
"""Annotation of workloads: the hash of what was asked for, and that of the pods, with a dot between."""

TEMPLATES = {DEPLOYMENTS: "template", LEADER_WORKER_SETS: "leaderWorkerTemplate"}
"""Where a workload's spec says what its pods are like."""

NETWORK = "networkConfig"
"""Where a LeaderWorkerSet's spec says, beside that, by which names its pods find each other."""

SHAPES_NO_POD = frozenset(
    {
        "replicas",
        "scaling",
        "rollout_strategy",
        "priority",
        "slo",
        "power",
        "workload_ref",
    }
)
"""Fields of a spec that shape no pod: a field that isn't listed does, so that none is forgotten."""

SHAPES_NO_POD_OF = {
    "experts": frozenset({"policy_ref", "gamma", "strategy", "min_tokens", "guard"}),
    "prefill": frozenset({"replicas", "per_decode", "policy_ref"}),
    "router": frozenset({"replicas"}),
    "kv_cache": frozenset({"policy_ref"}),
    "kv_cache.admission": frozenset({"estimator", "victim", "reserve_percent"}),
    "kv_cache.retention": frozenset({"policy_ref", "quality_class"}),
}
"""The same of the parts of a spec that shape pods in part, or those of one pool only."""

_PARTS = frozenset(path.partition(".")[0] for path in SHAPES_NO_POD_OF)

UNASKED = "agent_url"
"""The default that comes with a newer chart, and that nobody asked for."""


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


def pod_hash(one: Description, pool: str, *, kind: Kind, manifest: Manifest) -> PodHash:
    """The hashes of a workload that this operator makes."""
    return PodHash(_hash(_asked_for(one, pool)), _hash(_pods(kind, manifest["spec"])))


def stays(wanted: PodHash, there: PodHash | None, *, service: InferenceService) -> bool:
    """Whether the pods that are there were asked for alike, but made otherwise."""
    if there is None:
        return service.status.observed_generation == service.metadata.generation
    return there.asked == wanted.asked and there.pods != wanted.pods


def kept(kind: Kind, *, manifest: Manifest, there: Manifest, pod_hash: PodHash) -> Manifest:
    """The manifest with the pods of the object that is there, with their own hash."""
    field, metadata = TEMPLATES[kind], manifest["metadata"]
    others = {key: value for key, value in manifest["spec"].items() if key != NETWORK}
    network = {NETWORK: there["spec"][NETWORK]} if NETWORK in there["spec"] else {}
    spec = {**others, field: there["spec"][field], **network}
    annotations = {**metadata["annotations"], POD_HASH: str(pod_hash)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _pods(kind: Kind, spec: Manifest) -> Any:
    template = spec[TEMPLATES[kind]]
    return [template, spec[NETWORK]] if NETWORK in spec else template


def _asked_for(one: Description, pool: str) -> list[Any]:
    """What was asked for, as far as it shapes a pool's pods."""
    spec = one.service.spec
    told: list[Any] = [
        pool,
        spec.prefill is not None,
        one.defaults.model_dump(mode="json", exclude_unset=True, exclude={UNASKED}),
    ]
    if pool == ROUTER_POOL:
        return [*told, _shaping(spec.router, SHAPES_NO_POD_OF["router"])]
    told += [
        _shaping(spec, SHAPES_NO_POD | _PARTS),
        spec.kv_cache.dtype.value if spec.kv_cache else None,
    ]
    if pool == PREFILL_POOL:
        told.append(_shaping(spec.prefill, SHAPES_NO_POD_OF["prefill"]))
    parts = {
        "experts": _shaping(spec.experts, SHAPES_NO_POD_OF["experts"]),
        "admission": _shaping(spec.admission, SHAPES_NO_POD_OF["kv_cache.admission"]),
        "retention": _shaping(_asked_retention(spec), SHAPES_NO_POD_OF["kv_cache.retention"]),
    }
    others = _shaping(spec.kv_cache, SHAPES_NO_POD_OF["kv_cache"] | {"dtype", "admission", "retention"})
    later = [{name: part} for name, part in parts.items() if part]
    return [*told, *([others] if others else ()), *later]


def _asked_retention(spec: InferenceServiceSpec) -> Retention | None:
    """The part as far as engines get it: none of it while its mode is Off."""
    return spec.retention if spec.retention.mode is not RetentionMode.OFF else None


def _shaping(part: Any, without: AbstractSet[str]) -> Any:
    """A part of the spec without what shapes no pod."""
    if part is None:
        return None
    return part.model_dump(mode="json", exclude_defaults=True, exclude=set(without))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
