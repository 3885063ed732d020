"""
What a template says that comes to nothing, or to something else than it looks like, a sentence each.

The API server takes any template, and most of what is wrong with one it says itself once the pod is
applied. Here is what neither it nor the engine would say, or not by the user's own field: a removal
whose path leads nowhere, a container, variable or mount that is listed twice, a password that stands
for all to read. None of it need keep a service from serving, so it is told beside how the service
stands.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from loadline_api.engines import PASSWORD_IN_URL
from loadline_api.removals import Removal, removals_of
from loadline_operator.services.objects import engine_pods, routers
from loadline_operator.services.objects.descriptions import Description
from loadline_operator.services.objects.engine_args import Member
from loadline_operator.services.objects.removed_keys import entry_name

Template = Mapping[str, Any]


OWN = ("template", "prefill.template", "router.template")
"""Fields of the spec; the chart's are its administrator's."""

NAMED = frozenset(
    {
        "containers",
        "initContainers",
        "env",
        "ports",
        "volumeMounts",
        "volumes",
        "imagePullSecrets",
        "resourceClaims",
        "claims",
    }
)
"""Lists of a pod whose entries are told apart by name, or by the path of a mount."""

_PASSWORD = re.compile(PASSWORD_IN_URL.replace("[:space:]", r"\s"))


def template_notes(one: Description) -> tuple[str, ...]:
    """All that is to be told of the templates that a service's pods are made by."""
    templates = _templates(one)
    own = {field: template for field, template in templates.items() if field in OWN}
    return (
        *_leading_nowhere(one, templates),
        *(note for field, template in own.items() for note in _twice(template, field)),
        *(note for field, template in own.items() for note in _passwords(template, field)),
    )


def _templates(one: Description) -> dict[str, Template]:
    spec, defaults = one.service.spec, one.defaults
    given = {
        "the chart's engine.template": defaults.engine_template,
        "template": spec.template,
        "prefill.template": spec.prefill.template if spec.prefill is not None else None,
        "the chart's router.template": defaults.router_template if spec.router is not None else None,
        "router.template": spec.router.template if spec.router is not None else None,
    }
    return {field: template for field, template in given.items() if template}


def _leading_nowhere(one: Description, templates: Mapping[str, Template]) -> Iterator[str]:
    """Removals that find nothing in any pod that they are for."""
    if not any(map(removals_of, templates.values())):
        return
    fields = {id(template): field for field, template in templates.items()}
    found: dict[tuple[str, str], bool] = {}
    for template, removal, finds in _outcomes(one):
        key = fields[id(template)], str(removal)
        found[key] = found.get(key, False) or finds
    for (field, what), finds in found.items():
        if not finds:
            yield f"{field}.remove has {what}, which no pod has: correct the path or remove the entry"


def _outcomes(one: Description) -> Iterator[tuple[Template, Removal, bool]]:
    for pool in one.pools:
        members = (Member.LEADER, Member.FOLLOWER) if pool.spans_nodes else (Member.SOLE,)
        for member in members:
            yield from engine_pods.removals(one, pool, member=member)
    if one.router is not None:
        yield from routers.removals(one, one.router)


def _twice(node: Any, path: str) -> Iterator[str]:
    """Entries of named lists that are there more than once, with the way to them."""
    for key, value in _children(node):
        here = f"{path}{key}"
        if isinstance(value, list) and key.removeprefix(".") in NAMED:
            names = Counter(name for name in map(entry_name, value) if isinstance(name, str))
            yield from (
                f"{here} lists {name} {times} times, and the last entry wins: merge them into one"
                for name, times in names.items()
                if times > 1
            )
        yield from _twice(value, here)


def _passwords(node: Any, path: str) -> Iterator[str]:
    """Texts with a password in an address, with the way to them and without the text."""
    for key, value in _children(node):
        if isinstance(value, str) and _PASSWORD.search(value):
            yield (
                f"{path}{key} has a URL with a password, visible to everyone who may read the"
                " InferenceService: take it from a Secret (env with valueFrom.secretKeyRef)"
            )
        yield from _passwords(value, f"{path}{key}")


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    """What is in a map or list, each with its step as the API server would write it."""
    if isinstance(node, Mapping):
        yield from ((f".{key}", value) for key, value in node.items())
    elif isinstance(node, list):
        for number, value in enumerate(node):
            name = entry_name(value)
            yield f"[{name if isinstance(name, str) else number}]", value
