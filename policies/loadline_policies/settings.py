"""The base of every policy's settings: frozen, strict, written in camelCase."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Settings(BaseModel):
    """What a policy document may set; unknown keys are refused.

    Fields are integers with their unit in the name, since documents live beside
    Kubernetes specs, where floats are not welcome.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )
