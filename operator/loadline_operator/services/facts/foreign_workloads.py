"""
Workloads that somebody else owns, as facts: which kinds are known and where each tells what.

`workloadRef` names an object of another project, and every project tells differently
how many replicas there are, whether they serve and by which labels their pods are
found. The table here is the only place that knows; what follows from the facts is in
`attachments`. A fact is small and compares equal while nothing of interest moves, so
that it can be kept in a table of the operator.

Labels and statuses are those of Kubernetes 1.36, LeaderWorkerSet 0.9 and KServe 0.19;
DisaggregatedSets are read in `disaggregated_sets`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loadline_api.names import API_VERSION, INFERENCE_SERVICES
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, Key, Kind, Manifest
from loadline_operator.services.facts import disaggregated_sets, label_selectors
from loadline_operator.services.facts.disaggregated_sets import AVAILABLE, ROLE_SCALERS, Role
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.owned_objects import rollout
from loadline_operator.services.plugin_presence import configured_in
from loadline_operator.services.served_models import model_in

LWS_LABEL = "leaderworkerset.sigs.k8s.io/name"
LWS_LEADERS = "leaderworkerset.sigs.k8s.io/worker-index=0"
"""The name is on leaders and workers alike; a replica is a group, so for autoscalers a leader counts."""

KSERVE_LABEL = "serving.kserve.io/inferenceservice"
KSERVE_LLM_NAME, KSERVE_LLM_PART = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
"""On decode, prefill, leader and worker pods, and on KServe's own router, which uses no GPU.

KServe lays `spec.labels` over the labels of decode pods and `spec.prefill.labels` over those of
prefill pods, these two included.
"""

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a controller says about its own object: whether it is ready, and why in its words."""

    ready: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The object whose controller made a workload, and sets back what others change of it."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.api_version})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignWorkload:
    """What Loadline knows of a workload of somebody else.

    Counts are None where the kind doesn't tell them. `current` says whether its controller
    has seen the last change of the spec; a replica has `size` pods, and the workload was made at
    `since`. `said` is set where the kind tells its health by a condition. `selector` finds all its
    pods, `counted` one pod for each replica, where that is another one; `unmatched` are those parts
    of the selector that are more than an equality.
    `pods` are the labels of its pods, a set for each pool, where another workload may give the same.
    Of a workload with `roles` the counts are those of `role`, empty while none is chosen; they are
    moved through `scaler`, an object of ROLE_SCALERS, or cannot be moved, and `fixed` says why.
    """

    kind: Kind
    key: Key
    uid: str
    deleting: bool
    asked: int | None = None
    there: int | None = None
    ready: int | None = None
    updated: int | None = None
    current: bool = True
    size: int = 1
    since: str = ""
    complaint: PodFault | None = None
    said: Said | None = None
    selector: str = ""
    counted: str = ""
    unmatched: tuple[str, ...] = ()
    pods: tuple[Labels, ...] = ()
    made_by: str = ""
    owner: Owner | None = None
    scaled_by: str = ""
    plugin: bool | None = None
    model: str = ""
    url: str = ""
    roles: tuple[Role, ...] = ()
    role: str = ""
    scaler: Key | None = None
    fixed: str = ""

    @property
    def scaled(self) -> tuple[Kind, Key]:
        """The object whose `/scale` moves the counts."""
        return (self.kind, self.key) if self.scaler is None else (ROLE_SCALERS, self.scaler)

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKind:
    """A kind that `workloadRef` may name, and how to read it."""

    kind: Kind
    scalable: bool
    read: Callable[[Manifest], dict[str, Any]]


def find(api_version: str, kind: str) -> ForeignKind | None:
    """The row of the table for a kind as manifests write it."""
    return _BY_NAME.get((api_version, kind))


def foreign_workload(kind: Kind, raw: Manifest) -> ForeignWorkload:
    """The fact in an object of one of FOREIGN_KINDS, or of COMPANIONS."""
    metadata = raw["metadata"]
    return ForeignWorkload(
        kind=kind,
        key=Key.of(raw),
        uid=metadata.get("uid", ""),
        deleting="deletionTimestamp" in metadata,
        made_by=_maker(metadata),
        owner=_owner(metadata),
        **_READERS[kind](raw),
    )


def _counted(raw: Manifest) -> dict[str, Any]:
    """Deployment and StatefulSet: counts in the status, labels in the spec."""
    spec = raw["spec"]
    selector, unmatched = label_selectors.written(spec.get("selector") or {})
    return {
        **_counts(raw),
        "selector": selector,
        "unmatched": unmatched,
        "plugin": configured_in(spec.get("template") or {}),
        "model": model_in(spec.get("template") or {}),
    }


def _group(raw: Manifest) -> dict[str, Any]:
    """LeaderWorkerSet: a replica is a whole group of pods."""
    template = raw["spec"].get("leaderWorkerTemplate") or {}
    engine = template.get("leaderTemplate") or template.get("workerTemplate") or {}
    pods = f"{LWS_LABEL}={raw['metadata']['name']}"
    return {
        **_counts(raw),
        "selector": pods,
        "counted": f"{pods},{LWS_LEADERS}",
        "plugin": configured_in(engine),
        "model": model_in(engine),
    }


def _disaggregated(raw: Manifest) -> dict[str, Any]:
    """DisaggregatedSet: a count for each role, one condition for all."""
    return {**disaggregated_sets.read_set(raw), "said": _told(raw, AVAILABLE)}


def _kserve(raw: Manifest) -> dict[str, Any]:
    """KServe's InferenceService: one condition for all."""
    predictor = raw["spec"].get("predictor") or {}
    return {
        "asked": predictor.get("minReplicas"),
        "said": _told(raw),
        "selector": f"{KSERVE_LABEL}={raw['metadata']['name']}",
        "plugin": configured_in({"spec": {"containers": [predictor.get("model") or {}]}}),
        "model": (predictor.get("model") or {}).get("storageUri") or "",
        "url": (raw.get("status") or {}).get("url", ""),
    }


def _kserve_llm(raw: Manifest) -> dict[str, Any]:
    """KServe's LLMInferenceService: one condition for all."""
    spec = raw["spec"]
    identity = {KSERVE_LLM_NAME: raw["metadata"]["name"], KSERVE_LLM_PART: "llminferenceservice"}
    pools = [spec, *([spec["prefill"]] if spec.get("prefill") is not None else [])]
    pods = tuple(frozenset({**identity, **(pool.get("labels") or {})}.items()) for pool in pools)
    common = frozenset.intersection(*pods)
    return {
        "asked": spec.get("replicas"),
        "said": _told(raw),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(common)),
        "pods": pods,
        "plugin": configured_in({"spec": spec.get("template") or {}}),
        "model": (spec.get("model") or {}).get("uri") or "",
        "url": (raw.get("status") or {}).get("url", ""),
    }


def _row(
    group: str, *, version: str, kind: str, read: Callable[[Manifest], dict[str, Any]], scalable: bool = True
) -> ForeignKind:
    plural = f"{kind.lower()}s"
    return ForeignKind(
        kind=Kind(group=group, version=version, plural=plural, kind=kind), scalable=scalable, read=read
    )


TABLE = (
    _row("apps", version="v1", kind="Deployment", read=_counted),
    _row("apps", version="v1", kind="StatefulSet", read=_counted),
    _row("leaderworkerset.x-k8s.io", version="v1", kind="LeaderWorkerSet", read=_group),
    _row(
        disaggregated_sets.GROUP,
        version=disaggregated_sets.VERSION,
        kind="DisaggregatedSet",
        read=_disaggregated,
        scalable=False,
    ),
    _row("serving.kserve.io", version="v1beta1", kind="InferenceService", read=_kserve, scalable=False),
    _row(
        "serving.kserve.io", version="v1alpha2", kind="LLMInferenceService", read=_kserve_llm, scalable=False
    ),
    _row(
        "serving.kserve.io", version="v1alpha1", kind="LLMInferenceService", read=_kserve_llm, scalable=False
    ),
)
_ROWS = {row.kind: row for row in TABLE}
_BY_NAME = {(row.kind.api_version, row.kind.kind): row for row in TABLE}

FOREIGN_KINDS = tuple(_ROWS)
"""Kinds that `workloadRef` may name; the API server refuses others."""

_READERS = {kind: row.read for kind, row in _ROWS.items()} | {ROLE_SCALERS: disaggregated_sets.read_scaler}

DISAGGREGATED_SETS = next(kind for kind in FOREIGN_KINDS if kind.group == ROLE_SCALERS.group)
GROUPS = next(kind for kind in FOREIGN_KINDS if kind.kind == LEADER_WORKER_SETS.kind)
"""LeaderWorkerSets of others; those of ours are `kinds.LEADER_WORKER_SETS`."""

COMPANIONS = {DISAGGREGATED_SETS: ROLE_SCALERS}
"""Kinds that tell what those that a service names leave to them."""


def _counts(raw: Manifest) -> dict[str, Any]:
    found = rollout(raw)
    return {
        "asked": found.asked,
        "there": found.there,
        "ready": found.ready,
        "updated": found.updated,
        "current": found.current,
        "size": found.size,
        "since": found.since,
        "complaint": found.complaint,
        "scaled_by": found.scaled_by,
    }


def shares_pods(there: ForeignWorkload, other: ForeignWorkload) -> bool:
    """Whether the selector of a workload finds pods of the other too."""
    if not there.pods or other.key == there.key:
        return False
    found_by = frozenset.intersection(*there.pods)
    return any(found_by <= labels for labels in other.pods)


def _told(raw: Manifest, type: str = "Ready") -> Said:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    found = next((one for one in conditions if one["type"] == type), None)
    if found is None:
        return Said(ready=None, text="its controller has not reported a status yet")
    return Said(ready={"True": True, "False": False}.get(found["status"]), text=_words(found))


def _words(condition: Mapping[str, str]) -> str:
    return ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))


def _maker(metadata: Mapping[str, Any]) -> str:
    """The InferenceService of ours that owns the object, by name."""
    for owner in metadata.get("ownerReferences") or ():
        if (owner["apiVersion"], owner["kind"]) == (API_VERSION, INFERENCE_SERVICES.kind):
            return str(owner["name"])
    return ""


def _owner(metadata: Mapping[str, Any]) -> Owner | None:
    """The one owner that controls the object, if there is one."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return Owner(api_version=owner["apiVersion"], kind=owner["kind"], name=owner["name"])
    return None
