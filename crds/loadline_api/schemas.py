"""
The base of every API model: how a Python class becomes a structural schema and back.

A model is the only place where a field's name, default, bounds and description are
written; the CRD, `kubectl explain` and the parsers all come from it. Who writes a spec here
can't misspell a field; what is read passes over unknown keys, since they can only be a later
version's: the API server drops what its definition doesn't know, and a definition is brought
up to date, with its defaults, before the programs that read it.

Attributes are snake_case with their unit at the end, the wire has the same words in
camelCase. Rules that span fields are CEL, so that the API server refuses them with a
sentence; `rule` writes one. No Kubernetes client is imported here.
"""

from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from loadline_api.refusals import refused


def rule(cel: str, *, message: str = "", says: str = "", at: str = "") -> JsonDict:
    """One CEL rule; `message` is a plain sentence, `says` a CEL expression that makes one.

    `at` is the field that the API server blames, as a path from here (`.uri`).

    Put values into `says` with `.format([…])`: joining strings by `+` has no bound that
    the API server could estimate, and breaks its cost budget.
    """
    if bool(message) == bool(says):
        raise ValueError("give a rule either `message` or `says`")
    told: JsonDict = {"message": message} if message else {"messageExpression": says}
    return {"rule": cel, **told, **({"fieldPath": at} if at else {})}


def validations(*rules: JsonDict) -> JsonDict:
    """The schema's extension that carries `rules`; for `json_schema_extra`."""
    return {"x-kubernetes-validations": [*rules]}


def list_map(key: str) -> JsonDict:
    """The schema's extension of a list whose entries are told apart by `key`, so that two may write it."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ApiModel(BaseModel):
    """Frozen, camelCase on the wire."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    def to_api(self) -> dict[str, Any]:
        """The JSON of this value without what was left at its default, ready for an apply."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class Spec(ApiModel):
    """A part of a spec: unknown keys are refused when it is made, and passed over when it is read."""

    model_config = ConfigDict(extra="forbid")


class Status(ApiModel):
    """A part of a status: unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")


class Meta(Status):
    """What Loadline reads of an object's metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None


S = TypeVar("S", bound=Spec)
T = TypeVar("T", bound=Status)


class ApiObject(Status, Generic[S, T]):
    """One object as the API server hands it out: metadata, spec and status, each parsed."""

    metadata: Meta
    spec: S
    status: T

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """The object in `raw`; InvalidInput names the first field that can't be used."""
        try:
            return cls.model_validate({**raw, "status": raw.get("status") or {}}, extra="ignore")
        except ValidationError as error:
            raise refused(error) from error
