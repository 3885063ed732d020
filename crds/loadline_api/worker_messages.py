"""
The messages between the plugin in an engine and the agent of its node, as JSON.

The plugin posts a report: which pod it is in, which settings hold on all ranks of the engine, and what the
engine's loops counted. The agent answers with settings and how long they hold. This module knows no loop:
the sections of a message are opaque, one for each loop by the loop's name, and only their size is bounded.

Both sides of a message may be of another version, since an engine runs for weeks while agents are upgraded.
So a reader ignores keys and loops that it doesn't know, and later versions may add some, as long as a reader
without them relies on nothing that isn't so. A change that doesn't fit into that is a new `version`, which
the other side refuses by its number; the engine then keeps its no-op settings.

Nothing in a message is trusted beyond its bounds. Whether a report's pod is the one that sent it is checked
by the agent (`loadline_agent.workers`), not here.
"""

import math
from typing import Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import fix_of

WORKER_WIRE_VERSION: Final = 1
"""The `version` of every message that is written here, and the only one that is read."""

WORKER_PATH: Final = "/v1/workers"
"""Where the agent takes reports."""

WORKER_AUDIENCE: Final = "loadline-worker"
"""Audience of the token by which a report proves its pod; the API server itself refuses such a token."""

TOKEN_FILE: Final = "/var/run/secrets/loadline.dev/worker/token"
"""Where that token is in an engine's container."""

LONGEST_WORKER_MESSAGE: Final = 64 * 1024
"""Bytes of a message. Chosen: eight sections with some thousand counters each have half of it."""

MOST_SECTIONS: Final = 8
MOST_VALUES: Final = 8192
"""JSON values in the sections of a message together, each list and mapping being one more. Chosen."""

MOST_DEPTH: Final = 6
"""How deep lists and mappings of a section may be nested. Chosen."""

LONGEST_TEXT: Final = 256
"""Characters of a string or key in a section. Chosen."""

LARGEST_NUMBER: Final = 2**63 - 1
LAST_GENERATION: Final = 2**53 - 1
"""The last integer that every JSON parser reads exactly."""

LONGEST_LEASE_S: Final = 60.0
MOST_RANKS: Final = 4096

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
LoopName = Annotated[str, StringConstraints(pattern=r"^[a-z][-a-z0-9]{0,31}$")]
Generation = Annotated[int, Field(ge=0, le=LAST_GENERATION)]


def _bounded(sections: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    """The sections, unless they hold too much; counted with a stack, so that no nesting exhausts Python's."""
    values = 0
    stack: list[tuple[JsonValue, int]] = [(section, 1) for section in sections.values()]
    while stack:
        value, depth = stack.pop()
        values += 1
        if values > MOST_VALUES:
            raise ValueError(f"send at most {MOST_VALUES} values")
        _check(value, depth)
        if isinstance(value, dict):
            stack += [(inside, depth + 1) for inside in (*value, *value.values())]
        elif isinstance(value, list):
            stack += [(inside, depth + 1) for inside in value]
    return sections


def _check(value: JsonValue, depth: int) -> None:
    match value:
        case dict() | list() if depth > MOST_DEPTH:
            raise ValueError(f"nest at most {MOST_DEPTH} levels")
        case str() if len(value) > LONGEST_TEXT:
            raise ValueError(f"shorten texts to at most {LONGEST_TEXT} characters")
        case float() if not math.isfinite(value):
            raise ValueError("send finite numbers")
        case int() if abs(value) > LARGEST_NUMBER:
            raise ValueError(f"send integers of at most {LARGEST_NUMBER}")


Counters = Annotated[
    dict[LoopName, dict[str, JsonValue]], Field(max_length=MOST_SECTIONS), AfterValidator(_bounded)
]


class _Message(BaseModel):
    """A message or a part of one; keys of a later version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class WorkerPod(_Message):
    """The pod that a report comes from, as its own environment names it."""

    uid: Name
    name: Name
    namespace: Name


class WorkerReport(_Message):
    """What the plugin in an engine reports.

    `generation` is that of the settings that hold on all ranks, 0 for no-op settings, None where the ranks
    may differ; the counters count from the step after which it held. `highest` is the highest generation
    that the plugin was ever given, so that an agent that was restarted goes on counting from there, and
    `withdrawn` the last one that was withdrawn because not all ranks took it.
    """

    version: int = WORKER_WIRE_VERSION
    pod: WorkerPod
    service: Name
    pool: Name
    ranks: int = Field(ge=1, le=MOST_RANKS)
    generation: Generation | None = None
    highest: Generation = 0
    withdrawn: Generation = 0
    counters: Counters = Field(default_factory=dict)


class SettingsSection(_Message):
    """The settings of one loop, with the policy that they follow from; no settings are the loop's no-op."""

    policy: str = Field(max_length=64)
    policy_hash: str = Field(max_length=64)
    settings: dict[str, JsonValue] = Field(default_factory=dict)


def _bounded_sections(sections: dict[str, SettingsSection]) -> dict[str, SettingsSection]:
    _bounded({loop: section.settings for loop, section in sections.items()})
    return sections


class WorkerSettings(_Message):
    """The agent's answer: settings for all ranks, which hold for `lease_s` from when the report was sent.

    A generation names its sections: an answer with the same one renews the lease and changes nothing.
    """

    version: int = WORKER_WIRE_VERSION
    generation: int = Field(ge=1, le=LAST_GENERATION)
    lease_s: float = Field(gt=0.0, le=LONGEST_LEASE_S)
    sections: Annotated[
        dict[LoopName, SettingsSection],
        Field(max_length=MOST_SECTIONS),
        AfterValidator(_bounded_sections),
    ]


class _Version(_Message):
    version: int


M = TypeVar("M", WorkerReport, WorkerSettings)


def encode(message: WorkerReport | WorkerSettings) -> bytes:
    """A message as JSON."""
    return message.model_dump_json().encode()


def decode_worker_report(body: bytes) -> WorkerReport:
    """The report in `body`; InvalidInput names what is wrong with it."""
    return _decoded(WorkerReport, body, kind="report")


def decode_worker_settings(body: bytes) -> WorkerSettings:
    """The settings in `body`; InvalidInput names what is wrong with them."""
    return _decoded(WorkerSettings, body, kind="settings")


def _decoded(model: type[M], body: bytes, *, kind: str) -> M:
    if len(body) > LONGEST_WORKER_MESSAGE:
        raise InvalidInput(kind, f"{len(body)} bytes", fix=f"send at most {LONGEST_WORKER_MESSAGE}")
    try:
        version = _Version.model_validate_json(body).version
        if version != WORKER_WIRE_VERSION:
            fix = f"send version {WORKER_WIRE_VERSION}: upgrade the older of plugin and agent"
            raise InvalidInput(f"{kind}.version", version, fix=fix)
        return model.model_validate_json(body)
    except ValidationError as error:
        first: ErrorDetails = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in (kind, *first["loc"]))
        raise InvalidInput(field, first.get("input"), fix=fix_of(first)) from error
