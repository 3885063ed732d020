"""
The user's parts of a pod, laid over ours.

`template` is the way out for everything that the spec has no field for. Mappings merge
key by key, lists of named things (containers, environment, volumes, ports) by name, mounts
by the path where they are mounted, and whatever else is a list replaces ours; null removes
a key, an empty list of named things nothing. So a user can add a sidecar, change the image
or give arguments of his own without repeating the rest.

Both a pod's spec (as in KServe's LLMInferenceService) and a whole pod template (with
`metadata` and `spec`) are understood; they share no key.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from loadline_operator.kube.kinds import Manifest

WHOLE = frozenset({"metadata", "spec"})


def lay_over(base: Manifest, template: Mapping[str, Any] | None) -> Manifest:
    """`base`, a pod template, with the user's parts merged in; neither is changed."""
    if not template:
        return base
    return _mapping(base, template if template.keys() <= WHOLE else {"spec": template})


def is_named(value: Any) -> TypeGuard[list[Manifest]]:
    """Whether a value is a list of things that are told apart by name, and has some."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and isinstance(_name(one), str) for one in value)
    )


def _merged(ours: Any, theirs: Any) -> Any:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _mapping(ours, theirs)
    if is_named(ours) and (theirs == [] or is_named(theirs)):
        return _by_name(ours, theirs)
    return theirs


def _mapping(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Manifest:
    merged = {key: _merged(ours.get(key), value) for key, value in theirs.items() if value is not None}
    kept = {key: value for key, value in ours.items() if key not in theirs}
    return {**kept, **merged}


def _by_name(ours: list[Manifest], theirs: list[Manifest]) -> list[Manifest]:
    laid = {_name(one): one for one in theirs}
    first = [_merged(one, laid[_name(one)]) if _name(one) in laid else one for one in ours]
    names = {_name(one) for one in ours}
    return [*first, *(one for one in theirs if _name(one) not in names)]


def _name(one: Mapping[str, Any]) -> Any:
    """By what an entry of a list is told apart: two mounts may be of one volume."""
    return one.get("mountPath", one.get("name"))
