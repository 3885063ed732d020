"""
What pods are made of unless a service says otherwise: images, the GPU's name, the cache.

A cluster decides these once, not each service: a mirror of the images, the resource that
its GPUs are called by, the directory of a node in which weights are kept. The chart
writes them into a file, the operator reads it once at its start. A file with a fault is
refused whole, since half a default is a pod that nobody asked for.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from loadline_api.names import GPU_RESOURCE
from loadline_api.removals import check_removals
from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of

ENGINE_IMAGE = "docker.io/vllm/vllm-openai:v0.32.0"
"""The engine that the plugins are built for."""

ROUTER_IMAGE = "docker.io/vllm/vllm-router:v0.1.17"
"""The router whose flags and probes `routers` was written for."""

Text = Annotated[str, Field(min_length=1, max_length=512)]
Directory = Annotated[str, Field(pattern=r"^(/[^/:]+)+$", max_length=512)]
Url = Annotated[str, Field(pattern=r"^https?://[^/]+$", max_length=512)]
Picker = Annotated[str, Field(pattern=r"^([-a-z0-9]|\{service\})+$", max_length=63)]


def _template(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts, whose removals must have the form that the API server asks of a service's."""
    check_removals(parts)
    return parts


Template = Annotated[dict[str, Any], AfterValidator(_template)]

MENDS = {
    "extra_forbidden": "remove it, or upgrade the operator to the version that knows it",
    "string_too_short": "set a value, or remove the key",
    "literal_error": "set it to a known value, or remove the key",
}
PATTERN_MENDS = {
    "modelCache": "set it to an absolute path without a slash at its end",
    "agentUrl": "set it to a URL without a path",
    "endpointPicker": "set it to a Service's name, in which {service} stands for the InferenceService's name",
}
"""What to do about a fault, by its kind or its field; for others `fixes` has a sentence."""


class Defaults(BaseModel):
    """The cluster's defaults; keys are camelCase in the file, and all of them may be left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True
    )

    engine_image: Text = ENGINE_IMAGE
    router_image: Text = ROUTER_IMAGE
    gpu_resource: Text = GPU_RESOURCE
    """The extended resource that pods ask GPUs by."""

    model_cache: Directory | None = None
    """Directory of each node that keeps fetched models; None: every pod fetches its own."""

    ip_family: Literal["IPv4", "IPv6"] | None = None
    """The family of the pods' first address; None: that of the API server's Service, else IPv4."""

    kv_buffer_device: Text | None = None
    """Where KV is held for a transfer; None: the engine's own choice, the memory of its GPU."""

    engine_template: Template | None = None
    router_template: Template | None = None
    """Parts of a pod template for all engines or routers, below what the service says itself."""

    agent_url: Url | None = None
    """Where the plugin in an engine reaches the agent of its node; None: engines are told of none."""

    endpoint_picker: Picker | None = None
    """Service that a Gateway asks where to send a request; `{service}` stands for the service's name.

    None: no InferencePool is made, since one without a picker answers nobody.
    """

    monitor_labels: dict[str, str] = Field(default_factory=dict)
    """Labels by which a Prometheus chooses the PodMonitors that it reads."""


def read(path: Path) -> Defaults:
    """The defaults in a file; InvalidInput names what can't be used."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidInput("--defaults", str(path), fix=f"name a readable file ({error})") from error
    return parse(text)


def parse(text: str) -> Defaults:
    """The defaults in `text`, one YAML mapping; an empty text leaves all as they are."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput("--defaults", "not YAML", fix=str(error).replace("\n", " ")) from error
    try:
        return Defaults.model_validate({} if content is None else content)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0]) from error


def with_family(wanted: Defaults, *, service_host: str) -> Defaults:
    """The defaults for a cluster whose API server is at `service_host`, as the kubelet tells its pods.

    Pods and the API server's Service have their first address of one family. Where it is IPv4
    nothing is said, so that nothing moves that was asked for before.
    """
    if wanted.ip_family is not None or ":" not in service_host:
        return wanted
    return wanted.model_copy(update={"ip_family": "IPv6"})


def _explained(fault: ErrorDetails) -> InvalidInput:
    field = ".".join(str(part) for part in fault["loc"]) or "--defaults"
    kinds = {**MENDS, "string_pattern_mismatch": PATTERN_MENDS.get(field, "")}
    fix = kinds.get(fault["type"]) or fix_of(fault)
    return InvalidInput(field, fault["input"], fix=fix)
