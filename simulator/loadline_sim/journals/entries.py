"""
The decisions in a journal as the policies were given them.

An agent writes what a policy took and gave as JSON (`loadline_api.power_journals`). Here a line becomes the
very objects again, so that the policy can be called with them. Whatever doesn't come back as it was written
is refused: a decision on something else would be compared with the recorded one.

Lines of other parts of the agent, and what this version doesn't know, are `Other`: they are counted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from loadline_api import power_journals
from loadline_api.journals import plain
from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidInput, InvalidPolicy
from loadline_policies.fixes import fix_of
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.rows import PowerPolicy, Row
from loadline_policies.registry import POWER

NOT_AN_ENTRY: Final = "leave the line out, or have `--skip-bad` do so"

T = TypeVar("T")


def _number(value: object) -> object:
    """An infinity as a journal writes it."""
    return float(value) if value in ("inf", "-inf") and isinstance(value, str) else value


Age = Annotated[float, Field(ge=0), BeforeValidator(_number)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=512)]
Object = dict[str, JsonValue]


class _Lines(BaseModel):
    """Keys that a later version adds are no reason to refuse a line."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Line(_Lines):
    time: Annotated[str, Field(max_length=64, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    component: Literal["agent", "operator"]
    node: Name
    decider: Name
    kind: Name
    name: Name
    observation: JsonValue
    decision: JsonValue
    reason: str


class _Row(_Lines):
    load: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    age_s: Age


class _PolicyObservation(_Lines):
    row: _Row
    now_s: Finite
    state: Object
    policy_hash: Name
    budget_watts: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    epoch: int | None = None


class _PolicyDecision(_Lines):
    caps: Object
    state: Object


class _ReliefObservation(_Lines):
    claims: list[JsonValue]
    room: Object
    now_s: Finite
    state: Object


class _ReliefDecision(_Lines):
    relief: Object
    state: Object


class _Document(_Lines):
    policy_hash: Name
    document: Object


M = TypeVar("M", bound=_Lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A line that is of no power policy; `decider` says whose."""

    time: str
    decider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEntry:
    """A document that was in force. `hash_then` is the hash by which other entries name it."""

    time: str
    hash_then: str
    document: PowerDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """One decision of a power policy.

    `state`, `caps` and `state_after` are as they stand in the journal; `given` is the policy's own object
    of the first. `now_s` is on the clock of the coordinator's machine. `budget_watts` and `epoch` are None in
    journals from before they were written.
    """

    time: str
    node: str
    domain: str
    policy: PowerPolicy[Any, Any]
    policy_hash: str
    row: Row
    now_s: float
    given: object
    state: Mapping[str, object]
    caps: Mapping[str, object]
    state_after: Mapping[str, object]
    budget_watts: float | None
    epoch: int | None

    @property
    def draw_watts(self) -> float | None:
        """What the row drew; None where the budget isn't known."""
        return None if self.budget_watts is None else self.row.load * self.budget_watts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliefEntry:
    """One decision on who is let off a cap; `relief` and `state_after` are as they stand in the journal."""

    time: str
    claims: tuple[Claim, ...]
    room: reliefs.Room
    now_s: float
    state: reliefs.State
    relief: Mapping[str, object]
    state_after: Mapping[str, object]


Entry = Other | DocumentEntry | PolicyEntry | ReliefEntry


def parsed(line: str | bytes) -> Entry:
    """One line of a journal; InvalidInput names the field that can't be used."""
    read = _validated(_Line, line, field="")
    if not read.decider.startswith(power_journals.PREFIX):
        return Other(time=read.time, decider=read.decider)
    if read.decider == power_journals.DOCUMENT:
        return _document(read)
    if read.decider == power_journals.RELIEF:
        return _relief(read)
    policy = POWER.get(read.decider.removeprefix(power_journals.PREFIX))
    return Other(time=read.time, decider=read.decider) if policy is None else _decision(read, policy)


def _document(read: _Line) -> DocumentEntry:
    said = _validated(_Document, read.decision, field="decision")
    try:
        document = parse_power(json.dumps(said.document))
    except InvalidPolicy as error:
        raise InvalidInput(f"decision.document.{error.field}", error.value, fix=error.fix) from error
    return DocumentEntry(time=read.time, hash_then=said.policy_hash, document=document)


def _decision(read: _Line, policy: PowerPolicy[Any, Any]) -> PolicyEntry:
    seen = _validated(_PolicyObservation, read.observation, field="observation")
    decided = _validated(_PolicyDecision, read.decision, field="decision")
    return PolicyEntry(
        time=read.time,
        node=read.node,
        domain=read.name,
        policy=policy,
        policy_hash=seen.policy_hash,
        row=Row(seen.row.load, seen.row.age_s),
        now_s=seen.now_s,
        given=_object(type(policy.start), seen.state, field="observation.state"),
        state=seen.state,
        caps=decided.caps,
        state_after=decided.state,
        budget_watts=seen.budget_watts,
        epoch=seen.epoch,
    )


def _relief(read: _Line) -> ReliefEntry:
    seen = _validated(_ReliefObservation, read.observation, field="observation")
    decided = _validated(_ReliefDecision, read.decision, field="decision")
    return ReliefEntry(
        time=read.time,
        claims=tuple(_object(Claim, claim, field="observation.claims") for claim in seen.claims),
        room=_object(reliefs.Room, seen.room, field="observation.room"),
        now_s=seen.now_s,
        state=_object(reliefs.State, seen.state, field="observation.state"),
        relief=decided.relief,
        state_after=decided.state,
    )


def _validated(kind: type[M], value: Any, *, field: str) -> M:
    """The value as a model; text as JSON."""
    try:
        if isinstance(value, str | bytes):
            return kind.model_validate_json(value)
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        named = ".".join(str(part) for part in (field, *first["loc"]) if part != "")
        fix = NOT_AN_ENTRY if first["type"] == "json_invalid" else fix_of(first)
        raise InvalidInput(named or "entry", first["input"], fix=fix) from error


def _object(kind: Callable[..., T], value: object, *, field: str) -> T:
    """A frozen value of the policies, from what a journal made of it; it must be made into that again."""
    try:
        found: T = _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        named = ".".join(str(part) for part in (field, *first["loc"]))
        raise InvalidInput(named, first["input"], fix=fix_of(first)) from error
    if plain(found) != value:
        raise InvalidInput(field, value, fix=f"it isn't what this version writes of a {type(found).__name__}")
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
