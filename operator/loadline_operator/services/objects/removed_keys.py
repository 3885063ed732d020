"""
Keys that templates take out of a pod: done in the pod, and told where a path leads nowhere.

A removal comes before the rest of its template is laid over, so it takes away what the operator,
the chart or an earlier template put there, and what the same template gives stays: a probe can be
replaced whole. Containers are looked for among all of the pod's. Of a service one path may be right
in one pool and lead nowhere in another (a follower of a group has no probes), so only a path that
leads nowhere in any of its pods is told.

The paths' form is in `loadline_api.removals`; who tells of them is `template_notes`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from loadline_api.removals import Removal, removals_of
from loadline_operator.kube.kinds import Manifest

CONTAINERS = ("containers", "initContainers")
TOP = frozenset({"metadata", "spec"})
"""Fields of a pod template; every other path without a container begins at the pod's spec."""


def without_removed(base: Manifest, template: Mapping[str, Any]) -> Manifest:
    """`base`, a pod template, without what the user's template takes out of it."""
    for one in removals_of(template):
        base = _without(base, one)
    return base


def without_removed_of(container: Manifest, templates: Iterable[Mapping[str, Any]]) -> Manifest:
    """A container without what templates take out of one of its name."""
    for one in _of(container, templates):
        container = _taken(container, one.steps)
    return container


def outcomes(base: Manifest, template: Mapping[str, Any]) -> Iterator[tuple[Removal, bool]]:
    """The template's removals, each with whether it finds something in what those before it leave."""
    for one in removals_of(template):
        less = _without(base, one)
        yield one, less != base
        base = less


def finds(container: Manifest, removal: Removal) -> bool:
    """Whether a removal names this container and something of it."""
    return removal.container == container["name"] and bool(_taken(container, removal.steps) != container)


def entry_name(one: Any) -> Any:
    """By what an entry of a list is told apart: two mounts may be of one volume. None where it is no map."""
    if not isinstance(one, Mapping):
        return None
    path = one.get("mountPath", one.get("name"))
    return path.rstrip("/") or "/" if "mountPath" in one and isinstance(path, str) else path


def _of(container: Manifest, templates: Iterable[Mapping[str, Any]]) -> Iterable[Removal]:
    return (
        one
        for template in templates
        for one in removals_of(template)
        if one.container == container.get("name")
    )


def _without(base: Manifest, removal: Removal) -> Manifest:
    steps = removal.steps
    if removal.container is None:
        less: Manifest = _taken(base, steps if steps[0] in TOP else ("spec", *steps))
        return less
    spec = base.get("spec")
    if not isinstance(spec, Mapping):
        return base
    listed = {
        kind: [_taken(one, steps) if entry_name(one) == removal.container else one for one in spec[kind]]
        for kind in CONTAINERS
        if isinstance(spec.get(kind), list)
    }
    return {**base, "spec": {**spec, **listed}}


def _taken(node: Any, steps: tuple[str, ...]) -> Any:
    """A map or list without what the steps lead to; the same where they lead nowhere."""
    step, *rest = steps
    if isinstance(node, Mapping):
        if step not in node:
            return node
        kept = {key: value for key, value in node.items() if key != step}
        return kept if not rest else {**node, step: _taken(node[step], tuple(rest))}
    if not isinstance(node, list):
        return node
    name = entry_name({"mountPath": step}) if step.startswith("/") else step
    if not rest:
        return [one for one in node if entry_name(one) != name]
    return [_taken(one, tuple(rest)) if entry_name(one) == name else one for one in node]
