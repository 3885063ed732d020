"""
Everything that a service becomes, as manifests in the order of applying.

`wanted` is total: whatever was admitted becomes manifests. What needs an API that the
cluster doesn't serve is left out, and `lacking` says so in a sentence. Each manifest
belongs to its service by an owner reference, so the cluster collects it when the
service goes, with or without an operator.

Each carries the hash of itself as an annotation: what an edit *removes* from the spec
shows there, where a comparison of fields would not see it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from loadline_api.inference_services import InferenceService
from loadline_api.names import GROUP, POOL_LABEL, SERVICE_LABEL
from loadline_operator.kube.kinds import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    INFERENCE_SERVICES,
    LEADER_WORKER_SETS,
    POD_DISRUPTION_BUDGETS,
    POD_MONITORS,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Key,
    Kind,
    Manifest,
)
from loadline_operator.services.objects import deployments, routers
from loadline_operator.services.objects.accounts import accounts, bindings
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.disruption_budgets import disruption_budgets
from loadline_operator.services.objects.front_services import front_service
from loadline_operator.services.objects.inference_pools import inference_pools
from loadline_operator.services.objects.leader_worker_sets import leader_worker_set
from loadline_operator.services.objects.pod_hashes import POD_HASH, TEMPLATES, PodHash, kept, pod_hash
from loadline_operator.services.objects.pod_monitors import pod_monitors
from loadline_operator.services.objects.pools import described, pools_of
from loadline_operator.services.objects.queue_metadata import carried

APPLIED = f"{GROUP}/applied"
"""Annotation: the hash of the manifest that was applied."""

OPTIONAL_KINDS = (LEADER_WORKER_SETS, POD_MONITORS, INFERENCE_POOLS)
"""Kinds that a cluster may lack."""

OWNED_KINDS = (
    SERVICE_ACCOUNTS,
    ROLE_BINDINGS,
    DEPLOYMENTS,
    LEADER_WORKER_SETS,
    SERVICES,
    POD_DISRUPTION_BUDGETS,
    POD_MONITORS,
    INFERENCE_POOLS,
)
"""Every kind that a service may become, in the order of applying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One object that should be, as a manifest to apply."""

    kind: Kind
    manifest: Manifest

    @property
    def key(self) -> Key:
        """Where it should be."""
        return Key.of(self.manifest)


def wanted(
    service: InferenceService, defaults: Defaults, *, offered: frozenset[Kind] = frozenset()
) -> tuple[Wanted, ...]:
    """What the service becomes where the API server serves the optional kinds in `offered`."""
    if service.spec.model is None or lacking(service, offered) is not None:
        return ()
    made = [
        *_of(SERVICE_ACCOUNTS, accounts(service)),
        *_of(ROLE_BINDINGS, bindings(service)),
        *_workloads(service, defaults),
        Wanted(kind=SERVICES, manifest=front_service(service)),
        *_of(POD_DISRUPTION_BUDGETS, disruption_budgets(service)),
        *_of(POD_MONITORS, pod_monitors(service, defaults) if POD_MONITORS in offered else ()),
        *_of(INFERENCE_POOLS, inference_pools(service, defaults) if INFERENCE_POOLS in offered else ()),
    ]
    return tuple(_owned(one, service, defaults) for one in made)


def lacking(service: InferenceService, offered: frozenset[Kind]) -> str | None:
    """Which API is missing for what the spec asks; then no workload is made."""
    groups = [pool for pool in pools_of(service) if pool.spans_nodes]
    if not groups or LEADER_WORKER_SETS in offered:
        return None
    field = "prefill.parallelism" if groups[0].name != "main" else "parallelism"
    return (
        f"{field}.nodes is {groups[0].parallelism.nodes}, and a replica of several nodes needs"
        f" {LEADER_WORKER_SETS.api_version}, which the cluster doesn't serve: install LeaderWorkerSet or set"
        " nodes to 1"
    )


def without_replicas(one: Wanted) -> Wanted:
    """The same without a say in how many replicas there are."""
    spec = {key: value for key, value in one.manifest["spec"].items() if key != "replicas"}
    return Wanted(kind=one.kind, manifest=signed({**one.manifest, "spec": spec}))


def with_pods_of(one: Wanted, there: Manifest) -> Wanted:
    """The same, but with the pods of the object that is there: they were asked for as these are."""
    wanted, found = pod_hash_of(one.manifest), pod_hash_of(there)
    assert wanted is not None, "a workload of ours is marked"
    keeps = PodHash(wanted.asked, found.pods if found is not None else "kept")
    return Wanted(
        kind=one.kind, manifest=signed(kept(one.kind, manifest=one.manifest, there=there, pod_hash=keeps))
    )


def pod_hash_of(manifest: Manifest) -> PodHash | None:
    """What a workload's pods were made for."""
    return PodHash.read(manifest["metadata"].get("annotations") or {})


def signed(manifest: Manifest) -> Manifest:
    """The manifest with the hash of itself."""
    there = manifest["metadata"].get("annotations") or {}
    others = {key: value for key, value in there.items() if key != APPLIED}
    bare = {**manifest, "metadata": {**manifest["metadata"], "annotations": others}}
    digest = hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:16]
    return {**bare, "metadata": {**bare["metadata"], "annotations": {**others, APPLIED: digest}}}


def _workloads(service: InferenceService, defaults: Defaults) -> list[Wanted]:
    made = [
        Wanted(kind=LEADER_WORKER_SETS, manifest=leader_worker_set(pool, defaults))
        if pool.spans_nodes
        else Wanted(kind=DEPLOYMENTS, manifest=deployments.deployment(pool, defaults))
        for pool in pools_of(service)
    ]
    if service.spec.router is not None:
        made.append(Wanted(kind=DEPLOYMENTS, manifest=routers.deployment(service, defaults)))
    return made


def _of(kind: Kind, manifests: Iterable[Manifest]) -> list[Wanted]:
    return [Wanted(kind=kind, manifest=manifest) for manifest in manifests]


def _owned(one: Wanted, service: InferenceService, defaults: Defaults) -> Wanted:
    owner = {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": INFERENCE_SERVICES.kind,
        "name": service.metadata.name,
        "uid": service.metadata.uid,
        "controller": True,
    }
    there = one.manifest["metadata"]
    labels = there.get("labels") or {}
    name = service.metadata.name
    labels = {**labels, **described(name, labels.get(POOL_LABEL)), SERVICE_LABEL: name}
    metadata = {**there, "labels": labels, "ownerReferences": [owner]}
    if one.kind in TEMPLATES:
        made = pod_hash(service, labels[POOL_LABEL], defaults=defaults, kind=one.kind, manifest=one.manifest)
        metadata["labels"] = {**carried(service.metadata.labels), **labels}
        metadata["annotations"] = {**carried(service.metadata.annotations), POD_HASH: str(made)}
    return Wanted(kind=one.kind, manifest=signed({**one.manifest, "metadata": metadata}))
