"""
Whose word `spec.replicas` of an attached service is, and so whether its workload is moved to it.

The schema gives every service `replicas: 1`, since an object without it has no `/scale`. Of
an attached service that is nobody's wish, and an HPA that counts from it takes replicas away.
So until somebody asks, the operator writes the workload's own count there, through `/scale`,
then notes workload (by uid) and count in the status. From then on any other value is a wish, 1
too, and once there was one, every value is. Wishes made by `/scale` end with the object
that they were made for, and don't count while somebody else scales it; a manifest's stay.

Managed fields alone can't tell this: whoever posts an object owns its defaults too, and of
replicas that nobody owns, as after a server-side apply without them, the API server doesn't
record who moves them by `/scale`. So what they don't tell, the note does. After a crash between
write and note, replicas equal the workload's and are noted then. Without a note, an HPA's value
is no wish: it was counted from the default.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any

from loadline_api.inference_services import AttachedWorkload, InferenceService, InferenceServiceSpec
from loadline_api.names import OPERATOR_MANAGER
from loadline_api.quantities import MOST_REPLICAS
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.autoscalers import HPA_MANAGER
from loadline_operator.services.facts.foreign_workloads import ForeignWorkload

DEFAULT_REPLICAS = InferenceServiceSpec.model_fields["replicas"].default
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

APPLY_MANAGER = "kubectl-client-side-apply"
"""The field manager that writes what LAST_APPLIED says, and nothing else."""


class Word(Enum):
    """Who said the value that `spec.replicas` has, as far as the API server tells."""

    DEFAULT = auto()
    """It is the schema's."""

    OPERATOR = auto()
    """The operator took it over from the workload."""

    HPA = auto()
    """A HorizontalPodAutoscaler wrote it through `/scale`."""

    SCALED = auto()
    """A person or another client wrote it through `/scale`."""

    MANIFEST = auto()
    """It stands in the service's own manifest."""

    POSTED = auto()
    """It is 1, which its owner wrote or left out."""

    UNOWNED = auto()
    """It is the schema's, or anybody wrote it through `/scale`."""


def word(raw: Manifest) -> Word:
    """Who said `spec.replicas` of a service last."""
    replicas, metadata = raw["spec"].get("replicas", DEFAULT_REPLICAS), raw["metadata"]
    writers = [one for one in metadata.get("managedFields") or () if _has_replicas(one)]
    posted = [one for one in writers if not one.get("subresource")]
    scalers = {str(one.get("manager", "")) for one in writers if one.get("subresource") == "scale"}
    last = (metadata.get("annotations") or {}).get(LAST_APPLIED)
    said = last is not None and "replicas" in _spec_of(last)
    if any(one.get("operation") == "Apply" for one in posted):
        return Word.MANIFEST
    if posted and (said or replicas != DEFAULT_REPLICAS):
        return Word.MANIFEST
    if scalers:
        return _of_scalers(scalers)
    if not posted:
        return Word.MANIFEST if said and replicas == DEFAULT_REPLICAS else Word.UNOWNED
    left_out = last is not None and all(one.get("manager") == APPLY_MANAGER for one in posted)
    return Word.DEFAULT if left_out else Word.POSTED


def is_wish(
    service: InferenceService,
    there: ForeignWorkload,
    said: Word,
    *,
    scaled_elsewhere: bool = False,
    handed_over: bool = False,
) -> bool:
    """Whether somebody asks for the replicas that the service has, or they are to tell the workload's count.

    `scaled_elsewhere` says that the workload is scaled by its owner or by another autoscaler,
    `handed_over` that an autoscaler aims at the service: its word isn't overwritten then.
    """
    note = service.status.workload
    if said is Word.MANIFEST:
        return True
    if said in (Word.DEFAULT, Word.OPERATOR) or (scaled_elsewhere and not handed_over):
        return False
    if note is None:
        return _asked_before(service, there, said, handed_over=handed_over)
    return note.uid == there.uid and _asked_since(service.spec.replicas, said, note, count=there.asked)


def note(
    service: InferenceService, there: ForeignWorkload, said: Word, *, wish: bool
) -> AttachedWorkload | None:
    """What the status is to note of the workload."""
    count = counted(there)
    if not there.uid or count is None:
        return service.status.workload
    if said is Word.MANIFEST:
        return AttachedWorkload(uid=there.uid, declared=True)
    return AttachedWorkload(uid=there.uid, replicas=None if wish else count)


def _asked_before(
    service: InferenceService, there: ForeignWorkload, said: Word, *, handed_over: bool
) -> bool:
    """Whether somebody asks where nothing is noted yet: by a new service, or one of an older version."""
    if said is Word.UNOWNED:
        return not handed_over and service.spec.replicas not in (DEFAULT_REPLICAS, there.asked)
    return said is Word.SCALED


def _asked_since(replicas: int, said: Word, note: AttachedWorkload, *, count: int | None) -> bool:
    """Whether somebody has asked since this workload was noted."""
    if said is Word.UNOWNED and note.declared:
        return False  # whoever owned the value has taken it out of his manifest
    if said is Word.UNOWNED and note.replicas is not None:
        return replicas not in (note.replicas, count)
    return said is not Word.POSTED or replicas != note.replicas


def counted(there: ForeignWorkload) -> int | None:
    """The workload's count, as far as `spec.replicas` can have it; None where it isn't told."""
    return min(there.asked, MOST_REPLICAS) if there.asked is not None else None


def _of_scalers(managers: Iterable[str]) -> Word:
    others = set(managers) - {OPERATOR_MANAGER}
    if not others:
        return Word.OPERATOR
    return Word.HPA if others == {HPA_MANAGER} else Word.SCALED


def _has_replicas(entry: Mapping[str, Any]) -> bool:
    return "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def _spec_of(last_applied: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads(last_applied).get("spec") or {})
    except (ValueError, AttributeError, TypeError):
        return {}
