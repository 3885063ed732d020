"""
What the agent may set in an engine's KV memory: it writes this section, and the plugin reads it.

The settings of admission are those of the policy `predicted-memory`, so their bounds and defaults are there
alone. The wire has `enforce` in place of the policy's `admission`, and the policy's names in snake case.
The settings of no policy are the defaults: they count, and change no order. Keys of a later version are
ignored, as in every message between plugin and agent.
"""

from collections.abc import Mapping
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from loadline_api.refusals import refused
from loadline_policies.errors import InvalidInput
from loadline_policies.fixes import MAPPING, WORDS
from loadline_policies.kv.predicted_memory import AdmissionMode, Config

ENFORCE: Final = "enforce"
ADMISSION_KEYS: Final = frozenset(Config.model_fields) - {"admission"}
"""Keys of the section's admission that are the policy's; `enforce` is the other one."""


class KvSettings(BaseModel):
    """The settings of one engine's KV memory."""

    model_config = ConfigDict(frozen=True)

    admission: Config = Config()

    def encode(self) -> dict[str, JsonValue]:
        """The section as the agent sends it: what differs from the defaults."""
        changed = self.admission.model_dump(mode="json", exclude_defaults=True, include=set(ADMISSION_KEYS))
        enforce = {ENFORCE: True} if self.admission.admission is AdmissionMode.ENFORCE else {}
        return {"admission": {**enforce, **changed}}

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self:
        """The settings in the agent's answer; InvalidInput names the field."""
        admission = settings.get("admission", {})
        if not isinstance(admission, dict):
            raise InvalidInput("kv.admission", admission, fix=MAPPING)
        enforce = admission.get(ENFORCE, False)
        if not isinstance(enforce, bool):
            raise InvalidInput("kv.admission.enforce", enforce, fix=WORDS["bool_type"])
        known = {key: value for key, value in admission.items() if key in ADMISSION_KEYS}
        known["admission"] = AdmissionMode.ENFORCE if enforce else AdmissionMode.OBSERVE
        try:
            return cls(admission=Config.model_validate(known, by_alias=False, by_name=True))
        except ValidationError as error:
            raise refused(error, "kv", "admission") from error
