"""
Whether each object fulfils the manifest that was made for it.

Facts tell it almost always: whose the object is, which manifest it was made from and in
which state it has been seen to fulfil it. Only an object that is new to this operator,
or that has moved since, is read and compared field by field; what the API server words
differently than we did (an amount, a sidecar that somebody injects) is applied once and
then known to be settled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from loadline_operator.kube.comparisons import holds
from loadline_operator.kube.kinds import Key, Kind, Manifest
from loadline_operator.services.facts.owned_objects import OwnedObject, owners_of, state_of
from loadline_operator.services.objects.manifests import APPLIED, Wanted


class Ref(NamedTuple):
    """Any object: its kind and its key."""

    kind: Kind
    key: Key

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.key.name}"

    @classmethod
    def of(cls, wanted: Wanted) -> "Ref":
        """The object that a manifest is of."""
        return cls(wanted.kind, wanted.key)


class Signature(NamedTuple):
    """Which manifest an object fulfils in which state, however the API server words it."""

    applied: str
    state: str

    @classmethod
    def of(cls, wanted: Wanted, there: Manifest) -> "Signature":
        """That of a manifest and the object that the API server has for it."""
        return cls(digest_of(wanted), state_of(there))


class ObjectState(Enum):
    """What is to be done about an object."""

    HELD = "nothing: it is as we want it"
    NEEDED = "apply: it isn't there or not as we want it"
    TAKEN = "nothing: it is somebody else's"
    GOING = "wait: it is being deleted"
    UNREAD = "read: it can't be told from facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownObjects:
    """What is known of a service's objects.

    `read` has those that were read because facts couldn't tell, None for one that isn't
    there; `settled` the manifests that objects have been seen to fulfil.
    """

    owned_objects: Mapping[Ref, OwnedObject] = field(default_factory=dict)
    read: Mapping[Ref, Manifest | None] = field(default_factory=dict)
    settled: Mapping[Ref, Signature] = field(default_factory=dict)


def object_state(uid: str, wanted: Wanted, *, known: KnownObjects) -> ObjectState:
    """What is to be done about an object, given its manifest and its service's uid."""
    ref = Ref.of(wanted)
    there = known.owned_objects.get(ref)
    if there is None:
        return _of_unknown(uid, ref, known=known)
    if not there.is_of(uid):
        return ObjectState.TAKEN
    if there.deleting:
        return ObjectState.GOING
    if there.applied != digest_of(wanted):
        return ObjectState.NEEDED
    if known.settled.get(ref) == (there.applied, there.state):
        return ObjectState.HELD
    if ref not in known.read:
        return ObjectState.UNREAD
    return ObjectState.HELD if holds(wanted.manifest, known.read[ref]) else ObjectState.NEEDED


def digest_of(wanted: Wanted) -> str:
    """The hash that a manifest carries of itself."""
    return str(wanted.manifest["metadata"]["annotations"][APPLIED])


def _of_unknown(uid: str, ref: Ref, *, known: KnownObjects) -> ObjectState:
    """No watch told of it, so it isn't there or isn't labelled as ours are."""
    if ref not in known.read:
        return ObjectState.UNREAD
    there = known.read[ref]
    if there is None:
        return ObjectState.NEEDED
    return ObjectState.NEEDED if uid in owners_of(there) else ObjectState.TAKEN
