"""
Everything that a service becomes, as manifests in the order of applying.

`wanted` is total: whatever was admitted becomes manifests. What needs an API that the
cluster doesn't serve is left out, and `obstacle` says why nothing can be made. Each manifest
belongs to its service by an owner reference, so the cluster collects it when the
service goes, with or without an operator.

Each carries the hash of itself as an annotation: what an edit *removes* from the spec
shows there, where a comparison of fields would not see it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from loadline_api.names import GROUP, MAIN_POOL, POOL_LABEL, SERVICE_LABEL
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
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
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.disruption_budgets import disruption_budgets
from loadline_operator.services.objects.front_services import front_service
from loadline_operator.services.objects.inference_pools import inference_pools
from loadline_operator.services.objects.leader_worker_sets import leader_worker_set
from loadline_operator.services.objects.pod_hashes import POD_HASH, TEMPLATES, PodHash, kept, pod_hash
from loadline_operator.services.objects.pod_monitors import pod_monitors
from loadline_operator.services.objects.pools import recommended
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


def wanted(one: Description, *, offered: frozenset[Kind] = frozenset()) -> tuple[Wanted, ...]:
    """What a service becomes where the API server serves the optional kinds in `offered`."""
    if not one.pools or obstacle(one, offered) is not None:
        return ()
    made = [
        *_of(SERVICE_ACCOUNTS, accounts(one)),
        *_of(ROLE_BINDINGS, bindings(one)),
        *_workloads(one),
        Wanted(kind=SERVICES, manifest=front_service(one)),
        *_of(POD_DISRUPTION_BUDGETS, disruption_budgets(one)),
        *_of(POD_MONITORS, pod_monitors(one) if POD_MONITORS in offered else ()),
        *_of(INFERENCE_POOLS, inference_pools(one) if INFERENCE_POOLS in offered else ()),
    ]
    return tuple(_owned(each, one) for each in made)


def obstacle(one: Description, offered: frozenset[Kind]) -> Finding | None:
    """Why nothing can be made of what the spec asks; then what was made before stays as it is."""
    missing = lacking(one, offered)
    if missing is not None:
        return Finding(so=False, reason=Reason.API_MISSING, text=missing)
    if one.contradiction is not None:
        return Finding(so=False, reason=Reason.CONTRADICTION, text=one.contradiction)
    return None


def lacking(one: Description, offered: frozenset[Kind]) -> str | None:
    """Which API is missing for what the spec asks."""
    groups = [pool for pool in one.pools if pool.spans_nodes]
    if not groups or LEADER_WORKER_SETS in offered:
        return None
    field = "prefill.parallelism" if groups[0].name != MAIN_POOL else "parallelism"
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


def _workloads(one: Description) -> list[Wanted]:
    makers = {DEPLOYMENTS: deployments.deployment, LEADER_WORKER_SETS: leader_worker_set}
    made = [Wanted(kind=pool.kind, manifest=makers[pool.kind](one, pool)) for pool in one.pools]
    if one.router is not None:
        made.append(Wanted(kind=one.router.kind, manifest=routers.deployment(one, one.router)))
    return made


def _of(kind: Kind, manifests: Iterable[Manifest]) -> list[Wanted]:
    return [Wanted(kind=kind, manifest=manifest) for manifest in manifests]


def _owned(made: Wanted, one: Description) -> Wanted:
    owner = {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": INFERENCE_SERVICES.kind,
        "name": one.key.name,
        "uid": one.uid,
        "controller": True,
    }
    there = made.manifest["metadata"]
    labels = there.get("labels") or {}
    labels = {**labels, **recommended(one.key.name, labels.get(POOL_LABEL)), SERVICE_LABEL: one.key.name}
    metadata = {**there, "labels": labels, "ownerReferences": [owner]}
    if made.kind in TEMPLATES:
        hashes, own = pod_hash(one, labels[POOL_LABEL], kind=made.kind, manifest=made.manifest), one.service
        metadata["labels"] = {**carried(own.metadata.labels), **labels}
        metadata["annotations"] = {**carried(own.metadata.annotations), POD_HASH: str(hashes)}
    return Wanted(kind=made.kind, manifest=signed({**made.manifest, "metadata": metadata}))
