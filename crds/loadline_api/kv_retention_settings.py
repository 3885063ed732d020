"""
What the agent may set of retention in an engine: it writes this section, and the plugin reads it.

It says how many tokens requests keep that arrive from now on. Three answers are different: without
`kept_tokens` the engine does as it was started to, null lets requests keep all tokens, and a number is their
budget. Whether a number is a multiple of the blocks, or more than the engine was started for, is known to the
engine alone. Keys of a later version are ignored, as in every message between plugin and agent.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from loadline_api.refusals import refused
from loadline_policies.kv.rung_settings import MOST_TOKENS
from loadline_policies.loops import Loop

KEPT_TOKENS: Final = "kept_tokens"


class RetentionSettings(BaseModel):
    """How many tokens requests keep that arrive from now on; None for all of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kept_tokens: Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)] | None

    def encode(self) -> dict[str, JsonValue]:
        """The section as the agent sends it."""
        return {KEPT_TOKENS: self.kept_tokens}

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self | None:
        """The settings in the agent's answer, None if it has none; InvalidInput names the field."""
        if KEPT_TOKENS not in settings:
            return None
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise refused(error, Loop.KV_RETENTION) from error
