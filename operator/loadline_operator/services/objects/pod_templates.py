"""
The user's parts of a pod, laid over ours.

`template` is the way out for everything that the spec has no field for. Mappings merge
key by key, lists of named things (containers, environment, volumes, ports) by name, mounts
by the path where they are mounted, ports without a name by their number, and whatever else
is a list replaces ours; null removes a key where it arrives, an empty list of named things
nothing. So a user can add a sidecar, change the image or give arguments of his own without
repeating the rest. What a template takes away by `remove` goes first (`removed_keys`).

Both a pod's spec (as in KServe's LLMInferenceService) and a whole pod template (with
`metadata` and `spec`) are understood; they share no key.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any, TypeGuard

from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.removed_keys import entry_name, without_removed

WHOLE = frozenset({"metadata", "spec"})

REMOVE = "remove"
"""The key of a template that is no part of a pod."""


def lay_over(base: Manifest, template: Mapping[str, Any] | None) -> Manifest:
    """`base`, a pod template, with the user's parts merged in; neither is changed."""
    if not template:
        return base
    parts = {key: value for key, value in template.items() if key != REMOVE}
    whole = parts if parts.keys() <= WHOLE else {"spec": parts}
    return _mapping(without_removed(base, template), whole)


def is_named(value: Any) -> TypeGuard[list[Manifest]]:
    """Whether a value is a list of things that are told apart by name, and has some."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and isinstance(entry_name(one), str) for one in value)
    )


def _merged(ours: Any, theirs: Any) -> Any:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _mapping(ours, theirs)
    if _are_ports(ours) and _are_ports(theirs):
        return _by_number(ours, theirs)
    if is_named(ours) and (theirs == [] or is_named(theirs)):
        return _by_name(ours, theirs)
    return theirs


def _mapping(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Manifest:
    merged = {key: _merged(ours.get(key), value) for key, value in theirs.items() if value is not None}
    kept = {key: value for key, value in ours.items() if key not in theirs}
    return {**kept, **merged}


def _by_name(ours: list[Manifest], theirs: list[Manifest]) -> list[Manifest]:
    """Entries of ours with all of theirs of that name, one after the other; then what else is theirs."""
    names = [entry_name(one) for one in ours]
    laid = {name: [one for one in theirs if entry_name(one) == name] for name in names}
    others = [one for one in theirs if entry_name(one) not in names]
    return [*(reduce(_merged, laid[entry_name(one)], one) for one in ours), *others]


def _are_ports(value: Any) -> TypeGuard[list[Manifest]]:
    return isinstance(value, list) and all(
        isinstance(one, Mapping) and type(one.get("containerPort")) is int for one in value
    )


def _by_number(ours: list[Manifest], theirs: list[Manifest]) -> list[Manifest]:
    """Ports by name, and by their number where they have none, as most manifests of engines write them."""
    laid = list(ours)
    for port in (
        {key: value for key, value in one.items() if (key, value) != ("name", "")} for one in theirs
    ):
        place = next((at for at, one in enumerate(laid) if _are_the_same(one, port)), None)
        if place is None:
            laid.append(port)
        else:
            laid[place] = _mapping(laid[place], port)
    return laid


def _are_the_same(one: Manifest, other: Manifest) -> bool:
    if one.get("name") and other.get("name"):
        return bool(one["name"] == other["name"])
    return _number(one) == _number(other)


def _number(port: Manifest) -> tuple[int, str]:
    return port["containerPort"], port.get("protocol") or "TCP"
