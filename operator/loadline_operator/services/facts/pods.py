"""
What the operator remembers of a pod: where it belongs, whether it serves, and if not, why.

A few fields taken at the door; the rest of the object is forgotten, and what isn't here
can't wake a reconcile. Why a pod doesn't serve is found in `pod_faults`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog

from loadline_api.names import POOL_LABEL, SERVICE_LABEL
from loadline_operator.kube.kinds import Key, Manifest
from loadline_operator.services.facts.pod_faults import PodFault, diagnose, is_ready

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFact:
    """A pod; `service` and `pool` are empty for pods that somebody else made."""

    key: Key
    service: str = ""
    pool: str = ""
    node: str = ""
    phase: str = ""
    ready: bool = False
    deleting: bool = False
    fault: PodFault | None = None


def fact(raw: Manifest) -> PodFact:
    """The fact of a pod as the API server sends it."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    return PodFact(
        key=Key.of(raw),
        service=labels.get(SERVICE_LABEL, ""),
        pool=labels.get(POOL_LABEL, ""),
        node=raw["spec"].get("nodeName", ""),
        phase=(raw.get("status") or {}).get("phase", ""),
        ready=is_ready(raw),
        deleting="deletionTimestamp" in metadata,
        fault=diagnose(raw),
    )


def facts(raw: Iterable[Manifest]) -> Iterator[PodFact]:
    """The facts of pods; one that is too odd to be read is told in the log, and hides no other."""
    for one in raw:
        try:
            yield fact(one)
        except Exception as error:
            key = str(Key.of(one))
            log.warning("a pod was passed over", pod=key, error=f"{type(error).__name__}: {error}")


def worst(pods: Iterable[PodFact]) -> PodFault | None:
    """The fault to tell of: a lasting one of a living pod first, then by the pods' names.

    Pods that have ended stay for a while beside those that took their place.
    """
    bad = sorted((one for one in pods if one.fault is not None), key=_rank)
    return bad[0].fault if bad else None


def _rank(pod: PodFact) -> tuple[bool, bool, Key]:
    assert pod.fault is not None
    return not pod.fault.lasting, pod.phase in {"Failed", "Succeeded"}, pod.key
