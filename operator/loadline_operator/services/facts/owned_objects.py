"""
What the operator remembers of the objects that a service is made of.

Whose an object is, which manifest it was made from, in which state the API server has
it, and for workloads how far they are rolled out: enough to plan, some hundred bytes.
The object itself is read only where these can't tell whether it is as we want it.
"""

from dataclasses import dataclass

from loadline_api.names import SERVICE_LABEL
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Kind, Manifest
from loadline_operator.services.facts.autoscalers import scaled_by
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.refused_creations import refused_pods
from loadline_operator.services.objects.manifests import APPLIED, pod_hash_of
from loadline_operator.services.objects.pod_hashes import TEMPLATES, PodHash

NO_REPLICA_SET = "ReplicaSetCreateError"
"""A Deployment's reason for no progress where the API server refuses its ReplicaSet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a workload's replicas are; `current` says whether its controller knows the last change.

    A replica has `size` pods; `since` is when the workload was made. `complaint` is what the
    controller itself finds wrong, `scaled_by` whoever else set the replicas through `/scale`.
    """

    asked: int
    there: int = 0
    ready: int = 0
    updated: int = 0
    current: bool = False
    size: int = 1
    since: str = ""
    complaint: PodFault | None = None
    scaled_by: str = ""

    def lacks(self, asked: int, *, pods: int) -> bool:
        """Whether fewer pods are there than so many replicas have: `pods` are those that live."""
        groups_lack = self.size > 1 and self.ready < asked and pods < asked * self.size
        return self.there < asked or groups_lack


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedObject:
    """One object; `service` is by its label, `owners` by uid, `applied` the hash of its manifest.

    `state` moves with the object's spec: the generation, or the resourceVersion of kinds that
    count none. `pod_hash` is what a workload's pods were made for.
    """

    uid: str
    service: str
    owners: tuple[str, ...]
    applied: str
    state: str
    deleting: bool = False
    rollout: Rollout | None = None
    pod_hash: PodHash | None = None

    def is_of(self, uid: str) -> bool:
        """Whether it belongs to the service of that uid, and not to somebody else or a namesake."""
        return uid in self.owners


def owned_object(kind: Kind, raw: Manifest) -> OwnedObject:
    metadata = raw["metadata"]
    return OwnedObject(
        uid=metadata["uid"],
        service=(metadata.get("labels") or {}).get(SERVICE_LABEL, ""),
        owners=owners_of(raw),
        applied=(metadata.get("annotations") or {}).get(APPLIED, ""),
        state=state_of(raw),
        deleting="deletionTimestamp" in metadata,
        rollout=rollout(raw) if kind in TEMPLATES else None,
        pod_hash=pod_hash_of(raw) if kind in TEMPLATES else None,
    )


def owners_of(raw: Manifest) -> tuple[str, ...]:
    """The uids of those that an object belongs to."""
    return tuple(one["uid"] for one in raw["metadata"].get("ownerReferences") or ())


def state_of(raw: Manifest) -> str:
    """What moves when the object's spec does."""
    return str(raw["metadata"].get("generation") or raw["metadata"]["resourceVersion"])


def rollout(raw: Manifest) -> Rollout:
    """How far a Deployment, a StatefulSet or a LeaderWorkerSet is; they tell it alike."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    return Rollout(
        asked=spec.get("replicas", 1),
        there=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        current=status.get("observedGeneration", 0) >= metadata.get("generation", 0),
        size=(spec.get("leaderWorkerTemplate") or {}).get("size", 1),
        since=metadata.get("creationTimestamp", ""),
        complaint=_complaint(raw),
        scaled_by=scaled_by(metadata),
    )


def _complaint(raw: Manifest) -> PodFault | None:
    """What a Deployment says against its pods: they can't be made, aren't to be made, or don't get on."""
    spec, status = raw["spec"], raw.get("status") or {}
    told = {(one["type"], one["status"]): one for one in status.get("conditions") or ()}
    failure, stuck = told.get(("ReplicaFailure", "True")), told.get(("Progressing", "False"))
    if failure is not None:
        return refused_pods(failure.get("message") or "")
    if stuck is not None and stuck.get("reason") == NO_REPLICA_SET:
        return refused_pods(stuck.get("message") or "")
    if spec.get("paused") and _behind(spec, status):
        text = (
            f"it is paused, so its controller neither creates nor replaces pods: `{_resume(raw)}` resumes it"
        )
        return PodFault(reason=Reason.PAUSED, text=text)
    if stuck is not None:
        text = "it has made no progress for longer than its progressDeadlineSeconds"
        return PodFault(reason=Reason.UNAVAILABLE, text=text, lasting=False)
    return None


def _behind(spec: Manifest, status: Manifest) -> bool:
    """Whether pods are missing, or of an older template."""
    asked = spec.get("replicas", 1)
    return bool(status.get("replicas", 0) < asked or status.get("updatedReplicas", 0) < asked)


def _resume(raw: Manifest) -> str:
    metadata = raw["metadata"]
    return f"kubectl rollout resume deployment/{metadata['name']} -n {metadata.get('namespace', '')}"
