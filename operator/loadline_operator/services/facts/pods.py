"""
What the operator remembers of a pod: where it belongs, whether it serves, and if not, why.

A few fields taken at the door; the rest of the object is forgotten, and what isn't here
can't wake a reconcile. Why a pod doesn't serve is found in `pod_faults`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from loadline_api.conditions import timestamp
from loadline_api.names import POOL_LABEL, SERVICE_LABEL
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Key, Manifest
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.pod_faults import diagnose, is_ready
from loadline_operator.services.facts.scheduling_faults import unseen

UNSEEN = timedelta(seconds=30)
"""Chosen: a scheduler that runs says a word of a new pod within a second, of thousands within some."""

ENDED = frozenset({"Failed", "Succeeded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFact:
    """A pod; `service` and `pool` are empty for pods that somebody else made.

    `unseen` is what is wrong with it if no scheduler says a word of it for long after `born`.
    """

    key: Key
    service: str = ""
    pool: str = ""
    node: str = ""
    phase: str = ""
    ready: bool = False
    deleting: bool = False
    fault: PodFault | None = None
    unseen: PodFault | None = None
    born: str = ""

    @property
    def lives(self) -> bool:
        """Whether it is there to stay: it hasn't ended and isn't being deleted."""
        return not self.deleting and self.phase not in ENDED


def fact(raw: Manifest) -> PodFact:
    """The fact of a pod as the API server sends it."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    fault = diagnose(raw)
    waits = unseen(raw) if fault is None and "deletionTimestamp" not in metadata else None
    return PodFact(
        key=Key.of(raw),
        service=labels.get(SERVICE_LABEL, ""),
        pool=labels.get(POOL_LABEL, ""),
        node=raw["spec"].get("nodeName", ""),
        phase=(raw.get("status") or {}).get("phase", ""),
        ready=is_ready(raw),
        deleting="deletionTimestamp" in metadata,
        fault=fault,
        unseen=waits,
        born=metadata.get("creationTimestamp", "") if waits is not None else "",
    )


def unreadable(raw: Manifest) -> PodFact:
    """The fact of a pod that isn't shaped as pods are: it is there, and how it does isn't known."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    text = f"pod {metadata['name']} can't be parsed, so its state is unknown"
    waits_for = "an unknown cause: one of them can't be parsed"
    return PodFact(
        key=Key.of(raw),
        service=labels.get(SERVICE_LABEL, ""),
        pool=labels.get(POOL_LABEL, ""),
        deleting="deletionTimestamp" in metadata,
        fault=PodFault(reason=Reason.NOT_TOLD, text=text, waits_for=waits_for),
    )


def waiting_long(pods: Iterable[PodFact], *, now: datetime) -> tuple[PodFact, ...]:
    """The same pods, with a fault for those that have been unseen by their schedulers for long."""
    before = timestamp(now - UNSEEN)
    return tuple(
        replace(one, fault=one.unseen) if one.unseen is not None and one.born <= before else one
        for one in pods
    )


def seconds_to_wait(pods: Iterable[PodFact], *, now: datetime) -> float | None:
    """Until a pod has been unseen by its scheduler for long; None where none is on its way there."""
    born = min((one.born for one in pods if one.unseen is not None and one.fault is None), default=None)
    if born is None:
        return None
    since = datetime.fromisoformat(born) if born else now
    return max(0.0, (since + UNSEEN - now).total_seconds()) + 1.0  # times are told in whole seconds


def worst(pods: Iterable[PodFact]) -> PodFault | None:
    """The fault to tell of: a lasting one of a living pod first, then by the pods' names.

    Pods that have ended stay for a while beside those that took their place.
    """
    bad = sorted((one for one in pods if one.fault is not None), key=_rank)
    return bad[0].fault if bad else None


def _rank(pod: PodFact) -> tuple[bool, bool, Key]:
    assert pod.fault is not None
    return not pod.fault.lasting, pod.phase in ENDED, pod.key
