"""
What the agent may set in the layers of experts of an engine, checked as it comes.

The settings of no policy are the defaults: they count, and change no output. Keys of a later version are
ignored, as in every message between plugin and agent.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from loadline_policies.errors import InvalidInput
from loadline_policies.mends import mend_of


class Mode(IntEnum):
    """How far the plugin goes."""

    OFF = 0
    OBSERVE = 1
    """Count, and change no output."""


class ExpertsSettings(BaseModel):
    """The settings of all layers of an engine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mode: Literal["off", "observe"] = "observe"
    min_tokens: int = Field(default=256, ge=1, le=2**20)
    """Tokens of a batch from which on it counts as large. Steps that only decode have fewer, as a rule."""

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self:
        """The settings in the agent's answer; InvalidInput names the field."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in ("experts", *fault["loc"]))
            raise InvalidInput(field, fault["input"], mend=mend_of(fault)) from error
