"""The base class of every policy's settings: frozen, strict, with camelCase keys in YAML."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Settings(BaseModel):
    """The settings that a policy document may contain; unknown keys are rejected.

    Fields are integers with their unit in the name, because Kubernetes' API conventions
    advise against floating-point numbers, and documents are edited beside Kubernetes specs.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )
