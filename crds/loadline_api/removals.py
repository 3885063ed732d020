"""
How a template says that a key of our pod goes: `remove`, a list of paths.

A template that is laid over a pod can add and change, and take away only by `null`, which
`kubectl apply` drops before it sends anything. So what goes is named. A path is written as the API
server writes fields in its own sentences: names with dots, and in brackets the key of a map or the
name of a list's entry (a mount by its path), `resources.limits[nvidia.com/gpu]`. Quotes within
brackets may be left out.

What nothing works without (the engine's container, the names by which probes, Services and other
pods find it) is refused by the API server, with the fix. Whether a path leads anywhere is known
only where the pod is made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from loadline_api.names import ENGINE_CONTAINER, ROUTER_CONTAINER
from loadline_api.schemas import Spec, rule, validations

FORM: Final = r"^[A-Za-z][A-Za-z0-9]*([.][A-Za-z][A-Za-z0-9]*|\[[^\[\]]+\])*$"
"""A field's name, then names after dots and keys in brackets."""

MOST: Final = 32
"""Of one template."""

OURS: Final = (ENGINE_CONTAINER, ROUTER_CONTAINER)

_STEP: Final = re.compile(r"[.]?([A-Za-z][A-Za-z0-9]*)|\[([^\[\]]+)\]")
_WHOLE: Final = (
    "join field names by dots, and put keys and entries in brackets, as in"
    " resources.limits[nvidia.com/gpu], livenessProbe or env[HF_TOKEN]"
)


def _entries(listed: str, *names: str) -> str:
    """The regular expression of a path to entries of these names, or to what in them others find them by."""
    return (
        rf"{listed}\[[\x22\x27]?({'|'.join(names)})[\x22\x27]?\]"
        r"([.](name|value|valueFrom|containerPort)([.].*)?)?"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Paths that nobody may remove: of our containers or of the pod; what to do is `fix`."""

    paths: tuple[str, ...]
    of_containers: bool
    fix: str

    @property
    def pattern(self) -> str:
        """The regular expression of these paths."""
        return rf"^({'|'.join(self.paths)})$"

    @property
    def condition(self) -> str:
        """When it is kept, in CEL."""
        ours = f"has(self.container) && self.container in {list(OURS)}"
        whose = ours if self.of_containers else "!has(self.container)"
        return f"{whose} && self.path.matches(r'{self.pattern}')"


KEPT: Final = (
    Kept(
        paths=(
            "spec",
            "metadata",
            rf"(spec[.])?containers(\[[\x22\x27]?({'|'.join(OURS)})[\x22\x27]?\].*)?",
        ),
        of_containers=False,
        fix="the pod needs it; remove fields of a container by `container` and `path`, or set others in"
        " template.containers",
    ),
    Kept(
        paths=(r"metadata[.]labels(\[[\x22\x27]?(loadline[.]dev|app[.]kubernetes[.]io)/.*)?",),
        of_containers=False,
        fix="Services and workloads select the pod by its labels; remove others one by one, as in"
        " metadata.labels[example.com/team]",
    ),
    Kept(
        paths=("(spec[.])?serviceAccountName",),
        of_containers=False,
        fix="permissions are bound to it; set another serviceAccountName in the template",
    ),
    Kept(
        paths=(
            "name",
            "ports",
            _entries("ports", "http", "metrics"),
            "env",
            _entries("env", "LOADLINE_[A-Z]+", "VLLM_HOST_IP", "VLLM_NIXL_SIDE_CHANNEL_[A-Z]+"),
        ),
        of_containers=True,
        fix="probes, Services and other pods reach the container by it; remove other entries one by one, as"
        " in env[HF_TOKEN], or set another value in template.containers",
    ),
)
"""What nothing works without, or what others find it by."""


def _path(text: str) -> str:
    if not re.match(FORM, text):
        raise ValueError(_WHOLE)
    return text


class Removal(Spec):
    """One key that goes out of our pod."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                f"self.path.matches(r'{FORM}')",
                says=f"'template.remove has the path %s: {_WHOLE}'.format([self.path])",
                at=".path",
            ),
            *(
                rule(
                    f"!({one.condition})",
                    says=f"'template.remove has the path %s: {one.fix}'.format([self.path])",
                    at=".path",
                )
                for one in KEPT
            ),
        )
    )

    container: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Container of the field: `vllm`, `router`, `fetch-model` or one of the chart's;"
        " unset for a field of the pod.",
    )
    path: Annotated[str, AfterValidator(_path)] = Field(
        min_length=1,
        max_length=256,
        description="Field to remove, as in `resources.limits[nvidia.com/gpu]`,"
        " `livenessProbe`, `env[HF_TOKEN]`, `volumeMounts[/dev/shm]`; of the pod `volumes[shm]`,"
        " `metadata.annotations[example.com/a]`.",
    )

    @model_validator(mode="after")
    def _is_not_kept(self) -> Self:
        for one in KEPT:
            mine = self.container in OURS if one.of_containers else self.container is None
            if mine and re.match(one.pattern, self.path):
                raise ValueError(f"{self.path} can't be removed: {one.fix}")
        return self

    @property
    def steps(self) -> tuple[str, ...]:
        """The keys on the way, from the container or the pod."""
        return tuple(name or key.strip("\"'") for name, key in _STEP.findall(self.path))

    def __str__(self) -> str:
        return f"{self.path} of container {self.container}" if self.container else self.path


def template_schema(what: str) -> JsonDict:
    """The schema's extension of a template, which takes anything beside a list of removals of `what`."""
    items = Removal.model_json_schema(by_alias=True)
    described = f"Fields to remove from {what} before the rest of the template is merged."
    atomic: JsonDict = {"x-kubernetes-list-type": "atomic", "maxItems": MOST}
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"remove": {"type": "array", "description": described, **atomic, "items": items}},
    }


def removals_of(template: Mapping[str, Any]) -> tuple[Removal, ...]:
    """What a template takes away; what the API server would not have let pass is passed over."""
    listed = template.get("remove")
    return tuple(filter(None, map(_removal, listed if isinstance(listed, list) else ())))


def check_removals(template: Mapping[str, Any]) -> None:
    """Refuse what the API server would not let pass in a service; a ValueError names the entry."""
    listed = template.get("remove", [])
    if not isinstance(listed, list):
        raise ValueError("remove is not a list: write a list of {container, path}")
    for number, entry in enumerate(listed):
        try:
            Removal.model_validate(entry)
        except ValidationError as error:
            said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"remove[{number}]: {said}") from error


def _removal(entry: object) -> Removal | None:
    try:
        return Removal.model_validate(entry)
    except ValidationError:
        return None
