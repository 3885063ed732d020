"""
What the agent may set in an engine's KV memory: it writes this section, and the plugin reads it.

The settings of admission are those of the policy `predicted-memory`, so their bounds and defaults are there
alone. The wire has `enforce` in place of the policy's `admission`, and the policy's names in snake case.
The settings of no policy are the defaults: they count, and change no order.

Those of retention say how many tokens requests keep that arrive from now on. Three answers are different:
without `kept_tokens` the engine does as it was started to, null lets requests keep all tokens, and a number
is their budget. Whether a number is a multiple of the blocks, or more than the engine was started for, is
known to the engine alone.

Keys of a later version are ignored, as in every message between plugin and agent.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import MAPPING, WORDS, fix_of
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_policies.kv.rung_settings import MOST_TOKENS

ENFORCE: Final = "enforce"
RETENTION: Final = "retention"
KEPT_TOKENS: Final = "kept_tokens"
ADMISSION_KEYS: Final = frozenset(Config.model_fields) - {"admission"}
"""Keys of the section's admission that are the policy's; `enforce` is the other one."""


class RetentionSettings(BaseModel):
    """How many tokens requests keep that arrive from now on; None for all of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kept_tokens: Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)] | None


class KvSettings(BaseModel):
    """The settings of one engine's KV memory. Without `retention` the engine does as it was started to."""

    model_config = ConfigDict(frozen=True)

    admission: Config = Config()
    retention: RetentionSettings | None = None

    def encode(self) -> dict[str, JsonValue]:
        """The section as the agent sends it: what differs from the defaults."""
        changed = self.admission.model_dump(mode="json", exclude_defaults=True, include=set(ADMISSION_KEYS))
        enforce = {ENFORCE: True} if self.admission.admission is AdmissionMode.ENFORCE else {}
        retention = {RETENTION: self.retention.model_dump(mode="json")} if self.retention is not None else {}
        return {"admission": {**enforce, **changed}, **retention}

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self:
        """The settings in the agent's answer; InvalidInput names the field."""
        return cls(admission=_admission(settings), retention=_retention(settings))


def _admission(settings: Mapping[str, JsonValue]) -> Config:
    admission = _mapping(settings, "admission")
    enforce = admission.get(ENFORCE, False)
    if not isinstance(enforce, bool):
        raise InvalidInput("kv.admission.enforce", enforce, fix=WORDS["bool_type"])
    known = {key: value for key, value in admission.items() if key in ADMISSION_KEYS}
    known["admission"] = AdmissionMode.ENFORCE if enforce else AdmissionMode.OBSERVE
    try:
        return Config.model_validate(known, by_alias=False, by_name=True)
    except ValidationError as error:
        raise _refused(error, "admission") from error


def _retention(settings: Mapping[str, JsonValue]) -> RetentionSettings | None:
    retention = _mapping(settings, RETENTION)
    if KEPT_TOKENS not in retention:
        return None
    try:
        return RetentionSettings.model_validate(retention)
    except ValidationError as error:
        raise _refused(error, RETENTION) from error


def _mapping(settings: Mapping[str, JsonValue], key: str) -> dict[str, JsonValue]:
    found = settings.get(key, {})
    if not isinstance(found, dict):
        raise InvalidInput(f"kv.{key}", found, fix=MAPPING)
    return found


def _refused(error: ValidationError, key: str) -> InvalidInput:
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in ("kv", key, *fault["loc"]))
    return InvalidInput(field, fault["input"], fix=fix_of(fault))
