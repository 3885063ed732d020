"""
The plugin's settings, from `LOADLINE_*` variables in the environment of the engine's container.

This version of the plugin doesn't use them. It reads and checks them at its start, so that an
invalid setting is reported now, and not only by the version that uses it.
"""

from collections.abc import Mapping
from os import environ

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadline_policies.errors import InvalidInput
from loadline_policies.mends import mend_of

PREFIX = "LOADLINE_"


class Settings(BaseModel):
    """Where the engine belongs; the variable of a field is `LOADLINE_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    namespace: str | None = Field(default=None, max_length=63)
    """Namespace of the InferenceService that the engine belongs to."""

    service: str | None = Field(default=None, max_length=253)
    """Name of the InferenceService; None: the engine belongs to none that the plugin knows of."""

    pool: str | None = Field(default=None, max_length=63)
    """Pool of the InferenceService in which the engine is, such as `main` or `prefill`."""

    plugin: bool = True
    """Whether the plugin is enabled; `LOADLINE_PLUGIN=0` disables it."""


def read(environment: Mapping[str, str] = environ) -> Settings:
    """Read the settings from environment variables; InvalidInput names an invalid variable.

    Other variables with the prefix are ignored: other parts of Loadline use some.
    """
    given = {
        name: value
        for name in Settings.model_fields
        if (value := environment.get(PREFIX + name.upper())) is not None
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = PREFIX + str(fault["loc"][0]).upper()
        raise InvalidInput(name, fault["input"], mend=mend_of(fault)) from error
