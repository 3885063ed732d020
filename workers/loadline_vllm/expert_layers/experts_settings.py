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
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.fixes import fix_of


class Mode(IntEnum):
    """How far the plugin goes."""

    OFF = 0
    OBSERVE = 1
    """Count, and change no output."""

    ENFORCE = 2
    """Also keep experts from exceeding their capacity, which changes what the model answers."""


class ExpertsSettings(BaseModel):
    """The settings of all layers of an engine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mode: Literal["off", "observe", "enforce"] = "observe"
    gamma_thousandths: int = Field(default=UNBOUNDED_THOUSANDTHS, ge=100, le=UNBOUNDED_THOUSANDTHS)
    """γ: the capacity as a multiple of the mean load, in thousandths."""

    strategy: Literal["drop", "reroute", "rank_drop"] = "drop"
    """What becomes of a pair that its expert can't keep: it is left out; it is offered to the token's next
    best expert; or it is left out only if its whole rank is full."""

    rounds: int = Field(default=2, ge=1, le=8)
    """Of rerouting; an engine does at most those that it was started for."""

    metric: Literal["score", "order", "reverse_order", "random"] = "score"
    """Which pairs an expert keeps when it can't keep all."""

    min_tokens: int = Field(default=256, ge=1, le=2**20)
    """Tokens of a batch from which on it counts as large, and may be bounded. Steps that only decode have
    fewer, as a rule, and are left as they are."""

    @property
    def bounds(self) -> bool:
        """Whether outputs may differ from those of the model alone."""
        return self.mode == "enforce" and self.gamma_thousandths < UNBOUNDED_THOUSANDTHS

    def answers_like(self, other: Self) -> bool:
        """Whether KV that was computed under the other settings may be reused under these."""
        return not (self.bounds or other.bounds) or self == other

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self:
        """The settings in the agent's answer; InvalidInput names the field."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in ("experts", *fault["loc"]))
            raise InvalidInput(field, fault["input"], fix=fix_of(fault)) from error
